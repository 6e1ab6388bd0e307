// Rpmlist lists the packages in a database of rpm with the reader that Trivy uses: in ndb, SUSE's form, which Debian's rpm
// does not know, or in Berkeley DB.
//
//	rpmlist FILE      a line for each package: name, epoch, version-release, architecture, licence, by tabs
package main

import (
	"fmt"
	"log"
	"os"

	rpmdb "github.com/knqyf263/go-rpmdb/pkg"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: rpmlist FILE")
	}
	if err := list(os.Args[1]); err != nil {
		log.Fatal("rpmlist: ", err)
	}
}

func list(file string) error {
	database, err := rpmdb.Open(file)
	if err != nil {
		return err
	}
	defer database.Close()
	packages, err := database.ListPackages()
	for _, pkg := range packages {
		fmt.Printf("%s\t%d\t%s-%s\t%s\t%s\n", pkg.Name, pkg.EpochNum(), pkg.Version, pkg.Release, pkg.Arch, pkg.License)
	}
	return err
}
