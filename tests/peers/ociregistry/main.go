// Ociregistry is a registry with the referrers API, in memory: the one of the CUE project.
//
// An index is taken whether or not its children are there, as most registries do.
//
//	ociregistry ADDRESS      serves until it is ended; says `listening on ADDRESS` first
package main

import (
	"log"
	"net"
	"net/http"
	"os"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: ociregistry ADDRESS")
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal("ociregistry: ", err)
	}
	log.Print("listening on ", listener.Addr())
	backend := ocimem.NewWithConfig(&ocimem.Config{LaxChildReferences: true})
	log.Fatal(http.Serve(listener, ociserver.New(backend, nil)))
}
