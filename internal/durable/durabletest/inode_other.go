//go:build !unix

package durabletest

func inode(string) uint64 { panic("durabletest: this system has no inode numbers") }
