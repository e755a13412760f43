// Package jsonscan reads JSON as bytes, without building a tree: a value that the caller
// does not decode keeps the bytes that were received, and a number never becomes a
// float. It reads in two ways:
//
//   - A [Cursor] reads untrusted documents, such as an answer of the API. [Repair]
//     first mends texts that are not valid; beyond that the cursor accepts exactly what
//     the grammar allows, and keeps the first error.
//   - The scanner reads documents that are known to be valid, such as the events
//     of an answer that a Cursor accepted. It has no errors.
//
// [WholeNumber] reads amounts exactly, and [ObjectBuilder] writes the fields that a
// reader does not know. encoding/json/jsontext can replace most of the package once
// it is part of the standard library.
package jsonscan
