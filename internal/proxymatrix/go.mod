module github.com/siglake/siglake/internal/proxymatrix

go 1.26.0
