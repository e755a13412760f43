package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/inbox"
)

// TestListenOnS3: the inbox of a lake on S3 lies in its bucket, with a lease of its own: a second listener is
// refused, one that is started later knows the ids, and the lake's own lock stays free.
func TestListenOnS3(t *testing.T) {
	store := buckettest.Start(t)
	lake := store.URI("hooked")
	flags := s3LakeFlags(t, store)
	env := envFor(t)
	env.set("SIGLAKE_WEBHOOK_SECRET", testSecret)
	l := startListening(t, env, lake, flags...)
	for _, id := range []string{"a", "b", "a"} {
		l.vendor.mustDeliver(t, id, http.StatusCreated)
	}
	var out, errs bytes.Buffer
	second := append([]string{"siglake", "listen", "--lake", lake, "--listen", "127.0.0.1:0"}, flags...)
	if code := env.execute(t.Context(), second, nil, &out, &errs); code != exitLocked || !strings.Contains(errs.String(), "another siglake listen receives deliveries for this lake") {
		t.Errorf("a second listener: exit %d, %s, want %d", code, errs.String(), exitLocked)
	}
	l.stop(exitComplete)
	l = startListening(t, env, lake, flags...)
	l.vendor.mustDeliver(t, "b", http.StatusCreated)
	l.vendor.mustDeliver(t, "c", http.StatusCreated)
	l.stop(exitComplete)

	r, err := inbox.OpenReader(t.Context(), lake, inbox.Options{Bucket: openTestBucket(t, store, lake)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	end, err := r.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for d, err := range r.Deliveries(t.Context(), "", end) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, d.ID)
	}
	if got := strings.Join(ids, " "); got != "a b c" {
		t.Errorf("the inbox holds %s, want a b c", got)
	}
	b := openTestBucket(t, store, lake)
	for o, err := range b.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		raw, _, err := b.Get(t.Context(), o.Name)
		if err != nil || bytes.Contains(raw, []byte(testSecret)) || !strings.HasPrefix(o.Name, "_state/inbox/") {
			t.Errorf("the bucket holds %s: %v; want only the inbox, without the secret", o.Name, err)
		}
	}
}
