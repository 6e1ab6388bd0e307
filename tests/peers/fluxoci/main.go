// Fluxoci is `flux pull artifact` and `flux push artifact --reproducible` without the rest of flux: Flux's own package
// for OCI artifacts, which unpacks with the code that source-controller unpacks with. (The flux program itself cannot
// be built as a module: it embeds manifests that only its release process makes.)
//
//	fluxoci pull oci://HOST/NAME:TAG DIR                      unpacks into DIR
//	fluxoci push oci://HOST/NAME:TAG DIR SOURCE REVISION      packs DIR
//
// Both print what they know of the artifact as JSON.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"strings"
	"time"

	"github.com/fluxcd/pkg/oci"
	"github.com/fluxcd/pkg/sourceignore"
)

// What `flux push artifact` leaves out unless told otherwise.
const ignored = sourceignore.ExcludeVCS + "," + sourceignore.ExcludeExt

func main() {
	log.SetFlags(0)
	args := os.Args[1:]
	var meta *oci.Metadata
	var err error
	switch {
	case len(args) == 3 && args[0] == "pull":
		meta, err = pull(args[1], args[2])
	case len(args) == 5 && args[0] == "push":
		meta, err = push(args[1], args[2], args[3], args[4])
	default:
		log.Fatal("usage: fluxoci pull URL DIR | fluxoci push URL DIR SOURCE REVISION")
	}
	if err != nil {
		log.Fatal("fluxoci: ", err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(meta); err != nil {
		log.Fatal("fluxoci: ", err)
	}
}

func pull(artifact, dir string) (*oci.Metadata, error) {
	url, err := oci.ParseArtifactURL(artifact)
	if err != nil {
		return nil, err
	}
	return oci.NewClient(oci.DefaultOptions()).Pull(context.Background(), url, dir)
}

func push(artifact, dir, source, revision string) (*oci.Metadata, error) {
	url, err := oci.ParseArtifactURL(artifact)
	if err != nil {
		return nil, err
	}
	// What --reproducible means.
	created := time.Unix(0, 0).UTC().Format(time.RFC3339)
	meta := &oci.Metadata{URL: url, Created: created, Source: source, Revision: revision}
	meta.Digest, err = oci.NewClient(oci.DefaultOptions()).Push(context.Background(), url, dir,
		oci.WithPushMetadata(*meta), oci.WithPushIgnorePaths(strings.Split(ignored, ",")...))
	return meta, err
}
