package main

import "unsafe"

// Both buffers stay referenced from here, so that the collector leaves them alone while the host reads and writes.
var input, output []byte

// alloc makes room for a request of n bytes and says where.
//
//go:wasmexport alloc
func alloc(n uint32) unsafe.Pointer {
	input = make([]byte, max(n, 1))
	return unsafe.Pointer(&input[0])
}

// handle answers the request that the host wrote, and says how long the response is.
//
//go:wasmexport handle
func handle(n uint32) uint32 {
	output = serve(input[:n])
	input = nil
	return uint32(len(output))
}

// result says where the response is.
//
//go:wasmexport result
func result() unsafe.Pointer {
	return unsafe.Pointer(&output[0])
}
