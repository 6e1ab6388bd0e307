// Vcsim stands in for a vCenter: the simulator of the govmomi project, with one cluster and no machine in it.
//
//	vcsim ADDRESS      serves until it is ended; says `listening on URL` first
package main

import (
	"crypto/tls"
	"log"
	"net/url"
	"os"

	"github.com/vmware/govmomi/simulator"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: vcsim ADDRESS")
	}
	model := simulator.VPX()
	model.Machine = 0
	if err := model.Create(); err != nil {
		log.Fatal("vcsim: ", err)
	}
	model.Service.TLS = new(tls.Config)
	model.Service.Listen = &url.URL{Host: os.Args[1]}
	log.Print("listening on ", model.Service.NewServer().URL)
	select {}
}
