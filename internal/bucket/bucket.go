package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"golang.org/x/sync/errgroup"
)

// Config says how to reach a bucket and how to store objects in it. The zero value is AWS with the
// standard credential chain: environment, shared files, single sign-on, container, instance.
type Config struct {
	// Empty: the region of the environment or the shared files, else us-east-1.
	Region string
	// Address of another store, or of a private one; empty: AWS.
	Endpoint  string
	PathStyle bool // bucket in the path instead of the host name
	// Profile of the shared files; empty: that of the environment.
	Profile string

	Role       string // ARN of a role to assume; empty: none
	ExternalID string // required by the role

	// "AES256", "aws:kms", or empty for the bucket's default.
	Encryption   string
	KMSKey       string // id or ARN, for aws:kms; empty: the bucket's default
	StorageClass string // empty: the bucket's default
	Checksums    Checksums
	// Bytes per part of a large object, 5 MiB to 5 GiB; 0 means 16 MiB.
	PartSize int64

	MaxAttempts int           // per request, including the first; 0 means 6
	MaxBackoff  time.Duration // longest wait between attempts; 0 means 10 s
	// Nil: the SDK's own client, with a timeout of one minute for the response headers.
	HTTP *http.Client
}

// Bucket is a bucket, or the part of it below a prefix. It is safe for concurrent use. Names are
// relative to the prefix, with slashes; errors name objects by s3:// URI.
type Bucket struct {
	client *s3.Client
	cfg    Config
	name   string
	prefix string // empty, or ending in a slash
}

// ErrChanged means that an object has another version than expected.
var ErrChanged = errors.New("changed by another writer in the meantime")

// Object describes an object as the store reports it.
type Object struct {
	Name     string // relative to the bucket's prefix
	Size     int64
	ETag     string // identifies the version
	Modified time.Time
}

// SplitURI splits an s3:// URI into bucket and key.
func SplitURI(uri string) (bucket, key string, err error) {
	rest, ok := strings.CutPrefix(uri, "s3://")
	if !ok {
		return "", "", fmt.Errorf("%q is not an S3 URI; expected s3://bucket/key", uri)
	}
	bucket, key, _ = strings.Cut(rest, "/")
	if bucket == "" {
		return "", "", fmt.Errorf("%q has no bucket; expected s3://bucket/key", uri)
	}
	return bucket, key, nil
}

// Open prepares access to a bucket, below the path of an s3:// URI. It sends no request to the
// store.
func Open(ctx context.Context, uri string, cfg Config) (*Bucket, error) {
	name, key, err := SplitURI(uri)
	if err != nil {
		return nil, err
	}
	prefix := strings.Trim(key, "/")
	if prefix != "" {
		prefix += "/"
	}
	if cfg.PartSize == 0 {
		cfg.PartSize = 16 << 20
	}
	if cfg.PartSize < minPartSize || cfg.PartSize > maxPartSize {
		return nil, fmt.Errorf("parts of %d bytes: S3 accepts %d to %d", cfg.PartSize, minPartSize, maxPartSize)
	}
	cfg = cfg.withRetries()
	loaded, err := cfg.LoadAWS(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", uri, err)
	}
	b := &Bucket{cfg: cfg, name: name, prefix: prefix}
	b.client = s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.UsePathStyle = cfg.PathStyle
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
		cfg.applyChecksums(loaded, o) // a variable of the SDK can set the endpoint, too
		o.APIOptions = append(o.APIOptions, leaveEncodingUnsigned, readRegion)
	})
	return b, nil
}

func (cfg Config) withRetries() Config {
	if cfg.MaxAttempts <= 0 {
		cfg.MaxAttempts = 6
	}
	if cfg.MaxBackoff <= 0 {
		cfg.MaxBackoff = 10 * time.Second
	}
	return cfg
}

// LoadAWS determines region, credentials and retries, for clients of AWS in general.
func (cfg Config) LoadAWS(ctx context.Context) (aws.Config, error) {
	cfg = cfg.withRetries()
	options := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{}), config.WithRetryer(func() aws.Retryer {
		r := retry.NewStandard(func(o *retry.StandardOptions) {
			// The SDK does not retry a response that breaks off.
			o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				if errors.Is(err, io.ErrUnexpectedEOF) {
					return aws.TrueTernary
				}
				return aws.UnknownTernary
			}))
			o.MaxAttempts, o.MaxBackoff = cfg.MaxAttempts, cfg.MaxBackoff
			o.RateLimiter = ratelimit.None // each request has its own budget of retries
		})
		// The loser of two simultaneous conditional writes retries. After a clock skew error the
		// SDK knows the right time.
		return retry.AddWithErrorCodes(r, "ConditionalRequestConflict", "OperationAborted", "Conflict", "RequestTimeTooSkewed")
	})}
	if cfg.Region != "" {
		options = append(options, config.WithRegion(cfg.Region))
	}
	if cfg.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(cfg.Profile))
	}
	if cfg.HTTP != nil {
		options = append(options, config.WithHTTPClient(cfg.HTTP))
	} else {
		options = append(options, config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.ResponseHeaderTimeout = time.Minute
		})))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return loaded, err
	}
	if loaded.Region == "" {
		loaded.Region = "us-east-1"
	}
	if cfg.Role != "" {
		role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(loaded), cfg.Role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "siglake"
			if cfg.ExternalID != "" {
				o.ExternalID = aws.String(cfg.ExternalID)
			}
		})
		loaded.Credentials = aws.NewCredentialsCache(role, func(o *aws.CredentialsCacheOptions) {
			o.ExpiryWindow = 5 * time.Minute // the credentials must not expire during a request
		})
	}
	return loaded, nil
}

// Endpoint is the address of the store if it is not AWS: of the configuration, of a variable of the
// SDK, or of the profile. Empty: AWS. It sends no request.
func Endpoint(ctx context.Context, cfg Config) (string, error) {
	b, err := Open(ctx, "s3://bucket", cfg)
	if err != nil {
		return "", err
	}
	return aws.ToString(b.client.Options().BaseEndpoint), nil
}

// URI is the address of an object, or of the prefix if name is empty.
func (b *Bucket) URI(name string) string { return "s3://" + b.name + "/" + b.prefix + name }

func (b *Bucket) objectKey(name string) *string { return aws.String(b.prefix + name) }

// Get reads a whole object. The error is fs.ErrNotExist if there is none.
func (b *Bucket) Get(ctx context.Context, name string) (data []byte, etag string, err error) {
	for attempt := 1; ; attempt++ {
		out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: b.objectKey(name)})
		if err != nil {
			return nil, "", b.pathError("read", name, err)
		}
		data, err = io.ReadAll(out.Body)
		_ = out.Body.Close() // read to its end, or broken
		if err == nil && out.ContentLength != nil && int64(len(data)) != *out.ContentLength {
			err = io.ErrUnexpectedEOF
		}
		if err == nil && aws.ToString(out.ETag) == "" {
			err = errNoETag
		}
		if err == nil {
			return data, strongETag(aws.ToString(out.ETag)), nil
		}
		if attempt >= b.cfg.MaxAttempts || ctx.Err() != nil { // the SDK does not retry broken bodies
			return nil, "", b.pathError("read", name, err)
		}
	}
}

// Stat describes the object of a name. The error is fs.ErrNotExist if there is none.
func (b *Bucket) Stat(ctx context.Context, name string) (Object, error) {
	for attempt := 1; ; attempt++ {
		out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: b.objectKey(name)})
		if err != nil {
			return Object{}, b.pathError("stat", name, err)
		}
		o := Object{Name: name, Size: aws.ToInt64(out.ContentLength), ETag: strongETag(aws.ToString(out.ETag)), Modified: aws.ToTime(out.LastModified)}
		if o.ETag != "" || attempt >= b.cfg.MaxAttempts { // some gateways have objects without an ETag
			return o, nil
		}
	}
}

// ReadRange reads n bytes of one version of an object, starting at off; n < 0 reads to its end. The
// error is ErrChanged if the object has another version now. The body may break off: the caller
// requests the rest.
func (b *Bucket) ReadRange(ctx context.Context, o Object, off, n int64) (io.ReadCloser, error) {
	if n == 0 {
		return http.NoBody, nil
	}
	byteRange := fmt.Sprintf("bytes=%d-", off)
	if n > 0 {
		byteRange = fmt.Sprintf("bytes=%d-%d", off, off+n-1)
	}
	in := &s3.GetObjectInput{Bucket: &b.name, Key: b.objectKey(o.Name), Range: &byteRange}
	if o.ETag != "" {
		in.IfMatch = aws.String(strongETag(o.ETag))
	}
	out, err := b.client.GetObject(ctx, in)
	if err != nil {
		return nil, b.pathError("read", o.Name, err)
	}
	// The answer shows whether the store honours the condition and the range.
	switch wantPrefix := fmt.Sprintf("bytes %d-", off); {
	// Listings may report ETags without quotes.
	case o.ETag != "" && strings.Trim(strongETag(aws.ToString(out.ETag)), `"`) != strings.Trim(strongETag(o.ETag), `"`):
		err = ErrChanged
	case !strings.HasPrefix(aws.ToString(out.ContentRange), wantPrefix):
		err = fmt.Errorf("the store ignores ranges: asked for %s, got %q", byteRange, aws.ToString(out.ContentRange))
	default:
		return out.Body, nil
	}
	_ = out.Body.Close() // the body is not used
	return nil, &fs.PathError{Op: "read", Path: b.URI(o.Name), Err: err}
}

// Create writes an object under a name that must be free. The error is fs.ErrExist if another
// object has the name. An existing object with the same bytes counts as written.
func (b *Bucket) Create(ctx context.Context, name string, data []byte) error {
	in := b.putInput(name)
	in.Body, in.IfNoneMatch, in.ContentLength = bytes.NewReader(data), aws.String("*"), aws.Int64(int64(len(data)))
	err := b.putConditional(ctx, in)
	if !isConditionFailed(err) {
		return b.pathError("create", name, err)
	}
	return b.resolveConflict(ctx, "create", name, data, fs.ErrExist, err)
}

// errNoETag means that an answer does not come from the store: every object has an ETag, unlike an
// error page that a gateway returns with a success status.
var errNoETag = errors.New("the answer has no version (ETag) of the object, so it does not come from the store")

// putConditional writes an object, and accepts only an answer with the object's version. A
// conditional write can be repeated: resolveConflict determines what an earlier attempt did.
func (b *Bucket) putConditional(ctx context.Context, in *s3.PutObjectInput) error {
	for attempt := 1; ; attempt++ {
		out, err := b.client.PutObject(ctx, in)
		if err != nil || aws.ToString(out.ETag) != "" {
			return err
		}
		if attempt >= b.cfg.MaxAttempts || ctx.Err() != nil {
			return errNoETag
		}
		if body, ok := in.Body.(io.Seeker); ok {
			if _, err := body.Seek(0, io.SeekStart); err != nil {
				return err
			}
		}
	}
}

// resolveConflict determines whether a refused write had already succeeded: then the stored object
// has the given bytes.
func (b *Bucket) resolveConflict(ctx context.Context, op, name string, data []byte, mismatch, writeErr error) error {
	stored, _, err := b.Get(ctx, name)
	switch {
	case err == nil && bytes.Equal(stored, data):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return errors.Join(err, b.pathError(op, name, writeErr))
	}
	return &fs.PathError{Op: op, Path: b.URI(name), Err: mismatch}
}

// Upload writes the first size bytes of a file under a name that must be free, in parts if the file
// is large. The error is fs.ErrExist if the name is taken; the caller, who knows the content of the
// file, checks whether it is the same object.
func (b *Bucket) Upload(ctx context.Context, name string, file io.ReaderAt, size int64) error {
	var err error
	if size <= b.cfg.PartSize {
		in := b.putInput(name)
		in.Body, in.IfNoneMatch, in.ContentLength = io.NewSectionReader(file, 0, size), aws.String("*"), &size
		err = b.putConditional(ctx, in)
	} else {
		err = b.uploadMultipart(ctx, name, file, size)
	}
	return b.createError(name, err)
}

// createError maps the result of a write under a name that must be free.
func (b *Bucket) createError(name string, err error) error {
	if isConditionFailed(err) {
		return &fs.PathError{Op: "create", Path: b.URI(name), Err: fs.ErrExist}
	}
	return b.pathError("create", name, err)
}

// The limits of S3 for objects uploaded in parts.
const (
	minPartSize = 5 << 20
	maxPartSize = 5 << 30
	maxParts    = 10_000
)

// uploadMultipart writes an object in parts. Its condition is checked when the upload is completed.
// A process that dies before that leaves invisible parts that cost money; a lifecycle rule of the
// bucket removes them.
func (b *Bucket) uploadMultipart(ctx context.Context, name string, file io.ReaderAt, size int64) error {
	for attempt := 1; ; attempt++ {
		err := b.tryMultipart(ctx, name, file, size)
		if !hasCode(err, noSuchUpload) {
			return err
		}
		// The upload no longer exists: either it was completed and the answer was lost, or it was
		// aborted for another writer of the name.
		if _, statErr := b.Stat(ctx, name); statErr == nil {
			return &smithy.GenericAPIError{Code: preconditionFailed, Message: "the object is there"}
		} else if !errors.Is(statErr, fs.ErrNotExist) || attempt >= b.cfg.MaxAttempts {
			return errors.Join(err, statErr)
		}
	}
}

func (b *Bucket) tryMultipart(ctx context.Context, name string, file io.ReaderAt, size int64) (err error) {
	in := b.putInput(name)
	upload, err := b.client.CreateMultipartUpload(ctx, b.multipartInput(in))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // also after cancellation: stored parts cost money
			_ = b.abortMultipart(ctx, in.Key, upload.UploadId)
		}
	}()
	length := max(b.cfg.PartSize, (size+maxParts-1)/maxParts)
	parts := make([]types.CompletedPart, (size+length-1)/length)
	group, groupCtx := errgroup.WithContext(ctx) // awaited below
	group.SetLimit(3)
	for i := range parts {
		group.Go(func() error {
			number, off := aws.Int32(int32(i+1)), int64(i)*length
			n := min(length, size-off)
			out, err := b.client.UploadPart(groupCtx, &s3.UploadPartInput{
				Bucket: in.Bucket, Key: in.Key, UploadId: upload.UploadId, PartNumber: number, Body: io.NewSectionReader(file, off, n), ContentLength: &n,
			})
			if err == nil && aws.ToString(out.ETag) == "" {
				err = errNoETag
			}
			if err == nil {
				parts[i] = types.CompletedPart{PartNumber: number, ETag: aws.String(strongETag(aws.ToString(out.ETag))), ChecksumCRC32: out.ChecksumCRC32}
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	_, err = b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: in.Bucket, Key: in.Key, UploadId: upload.UploadId, IfNoneMatch: aws.String("*"), MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return err
}

// Swap replaces a small object if it still has the given version; an empty etag means that there
// must be no object. The error is ErrChanged if the version differs.
func (b *Bucket) Swap(ctx context.Context, name, etag string, data []byte) error {
	in := b.putInput(name)
	in.Body, in.ContentLength = bytes.NewReader(data), aws.Int64(int64(len(data)))
	if etag == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = aws.String(strongETag(etag))
	}
	err := b.putConditional(ctx, in)
	if !isConditionFailed(err) && !(etag != "" && errors.Is(b.pathError("replace", name, err), fs.ErrNotExist)) {
		return b.pathError("replace", name, err)
	}
	return b.resolveConflict(ctx, "replace", name, data, ErrChanged, err)
}

// Delete removes an object. Deleting a missing object is not an error.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: b.objectKey(name)})
	if hasCode(err, noSuchKey) {
		return nil
	}
	return b.pathError("delete", name, err)
}

// List iterates over the objects with a name prefix, in the order of their names. No protocol may
// depend on it: a store may list new objects late.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: b.objectKey(prefix), EncodingType: types.EncodingTypeUrl})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Object{}, b.pathError("list", prefix, err))
				return
			}
			for _, o := range page.Contents {
				object := Object{
					Name: strings.TrimPrefix(listedKey(page, o), b.prefix), Size: aws.ToInt64(o.Size),
					ETag: strongETag(aws.ToString(o.ETag)), Modified: aws.ToTime(o.LastModified),
				}
				if !yield(object, nil) {
					return
				}
			}
		}
	}
}

// Folders are the names of the folders right below the prefix: what objects' names have before their first slash.
func (b *Bucket) Folders(ctx context.Context) (names []string, err error) {
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &b.prefix, Delimiter: aws.String("/"), EncodingType: types.EncodingTypeUrl})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.pathError("list", "", err)
		}
		for _, p := range page.CommonPrefixes {
			key := listedKey(page, types.Object{Key: p.Prefix})
			names = append(names, strings.TrimSuffix(strings.TrimPrefix(key, b.prefix), "/"))
		}
	}
	return names, nil
}

// ErrUnconditional means that a store accepts conditional writes but ignores the condition.
var ErrUnconditional = errors.New("the store ignores this condition, so two runs could silently overwrite each other's work; use a store that supports conditional writes")

// ProbeConditions checks that the store honours the conditions of all writes of this package. It
// uses an object of its own below dir, which it removes afterwards. Uploads in parts are skipped if
// no file can be large enough for one.
func (b *Bucket) ProbeConditions(ctx context.Context, dir string) (err error) {
	name := path.Join(dir, "probe-"+strings.ToLower(rand.Text()[:12]))
	if err := b.Create(ctx, name, []byte("first")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Delete(context.WithoutCancel(ctx), name)) }() // the name is random, so the object is ours
	o, err := b.Stat(ctx, name)
	if err != nil {
		return err
	}
	checks := []struct {
		what    string
		write   func() error
		refusal error // the expected error
	}{
		{"If-None-Match of PUT", func() error { return b.Create(ctx, name, []byte("second")) }, fs.ErrExist},
		{"If-Match of PUT", func() error { return b.Swap(ctx, name, `"00000000000000000000000000000000"`, []byte("third")) }, ErrChanged},
		{"If-Match of PUT", func() error { return b.Swap(ctx, name, o.ETag, []byte("fourth")) }, nil},
		{"If-Match of PUT", func() error { return b.Swap(ctx, name, o.ETag, []byte("fifth")) }, ErrChanged},
		{"If-None-Match of uploads in parts (with parts of 5 GiB there are none)", func() error {
			return b.createError(name, b.tryMultipart(ctx, name, strings.NewReader("sixth"), 5))
		}, fs.ErrExist},
	}
	if b.cfg.PartSize == maxPartSize {
		checks = checks[:len(checks)-1]
	}
	for _, check := range checks {
		switch err := check.write(); {
		case check.refusal == nil && err != nil:
			return err
		case check.refusal != nil && err == nil:
			return fmt.Errorf("%s: %s: %w", b.URI(""), check.what, ErrUnconditional)
		case check.refusal != nil && !errors.Is(err, check.refusal):
			return err
		}
	}
	return nil
}

// ProbeWrite checks that objects can be written below dir: it begins an upload in parts and aborts
// it, so that no object ever appears there. If no file can be large enough for parts, the store may
// not have them: then it writes an object whose name readers skip, and removes it.
func (b *Bucket) ProbeWrite(ctx context.Context, dir string) error {
	name := path.Join(dir, "_probe-"+strings.ToLower(rand.Text()[:12]))
	if b.cfg.PartSize == maxPartSize {
		if err := b.Create(ctx, name, []byte("can this be written?\n")); err != nil {
			return err
		}
		return b.Delete(context.WithoutCancel(ctx), name)
	}
	in := b.putInput(name)
	upload, err := b.client.CreateMultipartUpload(ctx, b.multipartInput(in))
	if err != nil {
		return b.pathError("write", name, err)
	}
	return b.pathError("abort the upload of", name, b.abortMultipart(ctx, in.Key, upload.UploadId))
}

// abortMultipart discards an upload in parts, also after ctx has ended. An upload that the store no
// longer knows is discarded: an earlier attempt, the answer to which was lost, may have done it.
func (b *Bucket) abortMultipart(ctx context.Context, key, upload *string) error {
	_, err := b.client.AbortMultipartUpload(context.WithoutCancel(ctx), &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: key, UploadId: upload})
	if hasCode(err, noSuchUpload) {
		return nil
	}
	return err
}

// multipartInput begins an upload in parts of what in would put.
func (b *Bucket) multipartInput(in *s3.PutObjectInput) *s3.CreateMultipartUploadInput {
	create := &s3.CreateMultipartUploadInput{
		Bucket: in.Bucket, Key: in.Key, ServerSideEncryption: in.ServerSideEncryption, SSEKMSKeyId: in.SSEKMSKeyId, StorageClass: in.StorageClass,
	}
	if b.client.Options().RequestChecksumCalculation == aws.RequestChecksumCalculationWhenSupported {
		create.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32 // the SDK sends it with each part
	}
	return create
}

func (b *Bucket) putInput(name string) *s3.PutObjectInput {
	in := &s3.PutObjectInput{Bucket: &b.name, Key: b.objectKey(name)}
	if b.cfg.Encryption != "" {
		in.ServerSideEncryption = types.ServerSideEncryption(b.cfg.Encryption)
	}
	if b.cfg.KMSKey != "" {
		in.SSEKMSKeyId = &b.cfg.KMSKey
	}
	if b.cfg.StorageClass != "" {
		in.StorageClass = types.StorageClass(b.cfg.StorageClass)
	}
	return in
}

// isConditionFailed reports whether a condition failed.
func isConditionFailed(err error) bool {
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() == http.StatusPreconditionFailed {
		return true
	}
	return hasCode(err, preconditionFailed)
}

func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

// Codes of S3's errors.
const (
	preconditionFailed = "PreconditionFailed"
	noSuchKey          = "NoSuchKey"
	noSuchUpload       = "NoSuchUpload"
)

// pathError adds the object's address to an error and maps the error to one of package fs or to
// ErrChanged if possible.
func (b *Bucket) pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	pathErr := &fs.PathError{Op: op, Path: b.URI(name), Err: err}
	if text := credentialsProblem(err); text != "" {
		pathErr.Err = fmt.Errorf("%w: %s", ErrNoCredentials, text)
		return pathErr
	}
	var send *smithyhttp.RequestSendError
	if errors.As(err, &send) && !errors.Is(err, context.Canceled) {
		pathErr.Err = b.unreachableError(send)
		return pathErr
	}
	var response *awshttp.ResponseError
	if !errors.As(err, &response) {
		return pathErr
	}
	status, code := response.HTTPStatusCode(), ""
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	switch {
	case code == "NoSuchBucket": // not to be mistaken for a missing object
		pathErr.Err = errors.New(storeMessage(err))
	case status == http.StatusNotFound:
		pathErr.Err = fmt.Errorf("%w: %s", fs.ErrNotExist, storeMessage(err))
	case status == http.StatusPreconditionFailed:
		pathErr.Err = fmt.Errorf("%w: %s", ErrChanged, storeMessage(err))
	case status == http.StatusForbidden, status == http.StatusUnauthorized, code == "ExpiredToken":
		pathErr.Err = fmt.Errorf("%w: %s", fs.ErrPermission, storeMessage(err))
	case code == "InvalidRequest" && strings.Contains(strings.ToLower(storeMessage(err)), "checksum"), code == "MissingContentMD5":
		pathErr.Err = fmt.Errorf("%s: the bucket demands checksums, as buckets with Object Lock do: use --s3-checksum when-supported", storeMessage(err))
	case status == http.StatusMovedPermanently, code == "AuthorizationHeaderMalformed":
		pathErr.Err = b.regionError(response.Response.Header.Get(bucketRegion), err)
	default:
		pathErr.Err = fmt.Errorf("HTTP %d: %w", status, err)
	}
	return pathErr
}

// storeMessage is the message of the store, without the SDK's description of the request,
// and what to do about it if its code says that.
func storeMessage(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return err.Error()
	}
	text := api.ErrorCode()
	if api.ErrorMessage() != "" {
		text += ": " + api.ErrorMessage()
	}
	if advice := codeAdvice[api.ErrorCode()]; advice != "" {
		text += " (" + advice + ")"
	}
	return text
}

// codeAdvice is what to do about the error codes of wrong settings.
var codeAdvice = map[string]string{
	"InvalidAccessKeyId":    "the store does not know the access key: check AWS_ACCESS_KEY_ID or --s3-profile, and --s3-endpoint",
	"SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY or --s3-profile; a proxy that changes requests has the same effect",
	"ExpiredToken":          "the session of the credentials has ended: sign in again",
	"RequestTimeTooSkewed":  "the clock of this machine is wrong: set it",
	"NoSuchBucket":          "check the name of the bucket, and --s3-endpoint if it is not on AWS",
}
