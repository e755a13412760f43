// Package schedulermatrix holds the examples of siglake examples against the schedulers that they are for: the manifests
// against the types of the API of Kubernetes, decoded strictly, and the DAGs in a real Airflow, which is installed
// from PyPI. What a cluster or AWS would do with them is not tested.
package schedulermatrix
