module github.com/siglake/siglake/internal/storematrix

go 1.26.0

require github.com/siglake/siglake v0.0.0

replace github.com/siglake/siglake => ../..
