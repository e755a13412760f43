package main

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/app"
)

// sqlName is a name that is the same in every engine, however it is quoted.
var sqlName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (o *options) validate() error {
	for part := range strings.SplitSeq(o.Namespace, ".") {
		if !sqlName.MatchString(part) {
			return app.UsageErrorf("--namespace %q: expected letters, digits and underscores, with dots between its parts", o.Namespace)
		}
	}
	if o.Prefix != "" && !sqlName.MatchString(o.Prefix) {
		return app.UsageErrorf("--prefix %q: expected letters, digits and underscores, not beginning with a digit", o.Prefix)
	}
	return nil
}

// setUmask sets the permissions that new files never get: the metadata has values of rows.
func setUmask(text string) error {
	mask, err := strconv.ParseUint(text, 8, 16)
	if err != nil || mask > 0o777 || mask&0o700 != 0 {
		return app.UsageErrorf("--umask %q: expected an octal number such as 077 or 027", text)
	}
	applyUmask(int(mask))
	return nil
}
