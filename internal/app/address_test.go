package app

import "testing"

// TestAddressURI: a lake on a drive of Windows has three slashes before the drive.
func TestAddressURI(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"/data/lake": "file:///data/lake", "C:/data/lake": "file:///C:/data/lake", "s3://bucket/lake": "s3://bucket/lake"} {
		if got := AddressURI(address); got != want {
			t.Errorf("AddressURI(%q) = %q, want %q", address, got, want)
		}
	}
}
