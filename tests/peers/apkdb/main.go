// Apkdb writes and reads the database of installed packages of Alpine, lib/apk/db/installed, with the apk
// implementation of Chainguard (apk-tools itself is in no Debian).
//
//	apkdb add ROOT NAME VERSION LICENCE      adds a package of x86_64 without files
//	apkdb list ROOT                          a line for each package: name, version, architecture, licence, by tabs
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/chainguard-dev/go-apk/pkg/apk"
	"github.com/chainguard-dev/go-apk/pkg/fs"
)

func main() {
	log.SetFlags(0)
	args := os.Args[1:]
	var err error
	switch {
	case len(args) == 5 && args[0] == "add":
		err = add(args[1], &apk.Package{
			Name: args[2], Version: args[3], License: args[4], Arch: "x86_64", BuildTime: time.Unix(0, 0),
		})
	case len(args) == 2 && args[0] == "list":
		err = list(args[1])
	default:
		log.Fatal("usage: apkdb add ROOT NAME VERSION LICENCE | apkdb list ROOT")
	}
	if err != nil {
		log.Fatal("apkdb: ", err)
	}
}

func add(root string, pkg *apk.Package) error {
	if err := os.MkdirAll(filepath.Join(root, "lib/apk/db"), 0o755); err != nil {
		return err
	}
	database, err := open(root)
	if err != nil {
		return err
	}
	return database.AddInstalledPackage(pkg, nil)
}

func list(root string) error {
	database, err := open(root)
	if err != nil {
		return err
	}
	packages, err := database.GetInstalled()
	for _, pkg := range packages {
		fmt.Printf("%s\t%s\t%s\t%s\n", pkg.Name, pkg.Version, pkg.Arch, pkg.License)
	}
	return err
}

func open(root string) (*apk.APK, error) {
	return apk.New(apk.WithFS(fs.DirFS(root)))
}
