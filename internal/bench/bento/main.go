// Command bento is Bento with the few components that the benchmark's pipeline needs. It is a module of
// its own, so that the hundreds of modules that Bento requires are not those of siglake.
package main

import (
	"context"

	_ "github.com/warpstreamlabs/bento/public/components/io"            // csv, http, file
	_ "github.com/warpstreamlabs/bento/public/components/pure"          // mapping, group_by_value
	_ "github.com/warpstreamlabs/bento/public/components/pure/extended" // parquet_encode
	"github.com/warpstreamlabs/bento/public/service"
)

func main() { service.RunCLI(context.Background(), service.CLIOptSetBinaryName("bento")) }
