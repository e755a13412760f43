// Package enginematrix reads one lake with several query engines, each by the script that siglake ddl
// prints for it, and compares what they answer to the questions of the manual; dbt tests it by the source that siglake schema dbt prints. It is a module of its own
// because the engines are programs that the tests install: it needs python3, Maven, Java 17 for Spark, Java 25 in TRINO_JAVA_HOME for Trino, and the package
// registries, and downloads about 1.5 GB the first time.
package enginematrix
