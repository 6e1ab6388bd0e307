// Package config holds the options of the stand-in artifact store.
//
// This module stands in for a library of Flux that not every module proxy has.
// It has what source-controller calls and nothing more; how artifacts are kept
// and served here says nothing about Flux.
package config

import (
	"time"

	"github.com/spf13/pflag"
)

type Options struct {
	StoragePath, StorageAddress, StorageAdvAddress, ArtifactDigestAlgo string
	ArtifactRetentionTTL                                               time.Duration
	ArtifactRetentionRecords                                           int
}

func (o *Options) BindFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.StoragePath, "storage-path", "", "The local storage path.")
	fs.StringVar(&o.StorageAddress, "storage-addr", "127.0.0.1:9090", "The address the file server binds to.")
	fs.StringVar(&o.StorageAdvAddress, "storage-adv-addr", "", "The advertised address of the file server.")
	fs.StringVar(&o.ArtifactDigestAlgo, "artifact-digest-algo", "sha256", "The digest algorithm of artifacts.")
	fs.DurationVar(&o.ArtifactRetentionTTL, "artifact-retention-ttl", time.Minute, "How long earlier artifacts are kept.")
	fs.IntVar(&o.ArtifactRetentionRecords, "artifact-retention-records", 2, "How many artifacts are kept.")
}
