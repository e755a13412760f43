// Package storematrix runs the program against several S3 stores, each plain and behind front ends
// that change requests and answers as those of real stores do. It is a module of its own because
// one of the stores, moto, is a Python program that the test installs: it needs python3 and the package
// registry.
package storematrix
