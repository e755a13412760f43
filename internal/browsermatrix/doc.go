// Package browsermatrix reads pages of siglake report as people do: in Chromium, in the sizes of a desk and a phone,
// dark and light. It is a module of its own because the tests need Chromium (Debian's package chromium), and a
// library that drives it.
package browsermatrix
