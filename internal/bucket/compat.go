package bucket

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// compat.go holds what stores other than AWS, and front ends before a store, need.

// Checksums says which requests carry a checksum of their body, and which answers are
// held against theirs.
type Checksums string

// The choices. The zero value does as AWS_REQUEST_CHECKSUM_CALCULATION,
// AWS_RESPONSE_CHECKSUM_VALIDATION or the profile says, else WhenSupported for AWS and
// WhenRequired for other stores, many of which refuse checksums that they do not know.
const (
	// WhenSupported: every upload. Buckets with Object Lock refuse others.
	WhenSupported Checksums = "when-supported"
	// WhenRequired: only the operations that S3 does not accept without one.
	WhenRequired Checksums = "when-required"
)

// applyChecksums sets the SDK's options for checksums.
func (cfg Config) applyChecksums(loaded aws.Config, o *s3.Options) {
	switch cfg.Checksums {
	case WhenSupported:
		o.RequestChecksumCalculation, o.ResponseChecksumValidation = aws.RequestChecksumCalculationWhenSupported, aws.ResponseChecksumValidationWhenSupported
		return
	case WhenRequired:
		o.RequestChecksumCalculation, o.ResponseChecksumValidation = aws.RequestChecksumCalculationWhenRequired, aws.ResponseChecksumValidationWhenRequired
		return
	}
	if o.BaseEndpoint == nil { // AWS
		return
	}
	// The SDK's result does not show whether its default or the user has decided.
	request, response := aws.RequestChecksumCalculationWhenRequired, aws.ResponseChecksumValidationWhenRequired
	for _, source := range loaded.ConfigSources {
		switch source := source.(type) {
		case config.EnvConfig:
			if source.RequestChecksumCalculation != aws.RequestChecksumCalculationUnset {
				request = loaded.RequestChecksumCalculation
			}
			if source.ResponseChecksumValidation != aws.ResponseChecksumValidationUnset {
				response = loaded.ResponseChecksumValidation
			}
		case config.SharedConfig:
			if source.RequestChecksumCalculation != aws.RequestChecksumCalculationUnset {
				request = loaded.RequestChecksumCalculation
			}
			if source.ResponseChecksumValidation != aws.ResponseChecksumValidationUnset {
				response = loaded.ResponseChecksumValidation
			}
		}
	}
	o.RequestChecksumCalculation, o.ResponseChecksumValidation = request, response
}

const acceptEncoding = "Accept-Encoding"

// leaveEncodingUnsigned keeps Accept-Encoding out of the signature: front ends such as
// Google's change it, and then the signature does not match. The header is still sent,
// because the transport would otherwise ask for gzip, which changes sizes and ETags.
func leaveEncodingUnsigned(stack *middleware.Stack) error {
	step := func(id string, change func(*smithyhttp.Request)) middleware.FinalizeMiddleware {
		return middleware.FinalizeMiddlewareFunc(id, func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			if request, ok := in.Request.(*smithyhttp.Request); ok {
				change(request)
			}
			return next.HandleFinalize(ctx, in)
		})
	}
	const signing = "Signing"
	if err := stack.Finalize.Insert(step("hideAcceptEncoding", func(r *smithyhttp.Request) { r.Header.Del(acceptEncoding) }), signing, middleware.Before); err != nil {
		return err
	}
	return stack.Finalize.Insert(step("sendAcceptEncoding", func(r *smithyhttp.Request) { r.Header.Set(acceptEncoding, "identity") }), signing, middleware.After)
}

const bucketRegion = "X-Amz-Bucket-Region"

var regionElement = regexp.MustCompile(`<Region>([a-z0-9-]{1,64})</Region>`)

// readRegion gives an error that states the bucket's region in its body the header that
// AWS uses: a bucket that is asked for in another region answers a 301 or a 400.
func readRegion(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("readRegion", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (out middleware.DeserializeOutput, m middleware.Metadata, err error) {
		out, m, err = next.HandleDeserialize(ctx, in)
		response, ok := out.RawResponse.(*smithyhttp.Response)
		if err != nil || !ok || response.StatusCode != http.StatusMovedPermanently && response.StatusCode != http.StatusBadRequest || response.Header.Get(bucketRegion) != "" {
			return out, m, err
		}
		body, readErr := io.ReadAll(io.LimitReader(response.Body, 64<<10))
		_ = response.Body.Close() // what matters of it is read
		if readErr != nil {
			return out, m, readErr
		}
		response.Body = io.NopCloser(bytes.NewReader(body))
		if found := regionElement.FindSubmatch(body); found != nil {
			response.Header.Set(bucketRegion, string(found[1]))
		}
		return out, m, nil
	}), middleware.After)
}

// regionError says where a bucket is that was asked for in another region. region is
// empty when the store does not say.
func (b *Bucket) regionError(region string, err error) error {
	if region == "" {
		return fmt.Errorf("the bucket is not at this address or in the region %q: set --s3-region to its region: %s", b.client.Options().Region, storeMessage(err))
	}
	return fmt.Errorf("the bucket is in the region %q, not %q: use --s3-region %s: %s", region, b.client.Options().Region, region, storeMessage(err))
}

// unreachableError says that no response came from a store, and what to check.
func (b *Bucket) unreachableError(send *smithyhttp.RequestSendError) error {
	address := aws.ToString(b.client.Options().BaseEndpoint)
	advice := "check the network and the proxy"
	if address == "" {
		address = "AWS"
	} else {
		advice = "check --s3-endpoint (or AWS_ENDPOINT_URL_S3, or endpoint_url of the profile), the network and the proxy"
	}
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	switch {
	case errors.As(send, &dns) && strings.HasPrefix(dns.Name, b.name+"."):
		advice = "the name of the bucket is part of the host; add --s3-path-style if the store expects it in the path, else " + advice
	case errors.As(send, &unknown):
		advice = "AWS_CA_BUNDLE names a file with the certificate authority of the store"
	case errors.As(send, &name):
		advice = "the certificate is for another host; add --s3-path-style if the store expects the bucket in the path, else " + advice
	case errors.As(send, &record), strings.Contains(send.Error(), "server gave HTTP response to HTTPS client"):
		advice = "the store does not speak TLS on this port: use http:// in --s3-endpoint, or its port for https"
	}
	return fmt.Errorf("the store at %s cannot be reached: %w (%s)", address, send.Err, advice)
}

// listedKey is the key of a listed object. XML cannot express most control characters, so
// listings are requested with encoded keys; a store that does not know of that says so by
// omission.
func listedKey(page *s3.ListObjectsV2Output, o types.Object) string {
	key := aws.ToString(o.Key)
	if page.EncodingType != types.EncodingTypeUrl {
		return key
	}
	decoded, err := url.QueryUnescape(key)
	if err != nil {
		return key // not encoded after all
	}
	return decoded
}

// strongETag is the ETag that the store itself gave an object. Front ends that could
// compress an answer mark it as weak, or append a word to it; conditions must state the
// store's own.
func strongETag(etag string) string {
	etag = strings.TrimPrefix(strings.TrimSpace(etag), "W/")
	quoted := strings.HasSuffix(etag, `"`)
	etag = strings.TrimSuffix(etag, `"`)
	for _, suffix := range []string{"--gzip", "-gzip", ";gzip", "-br", ";br", "-df"} {
		etag = strings.TrimSuffix(etag, suffix)
	}
	if quoted {
		etag += `"`
	}
	return etag
}

// ErrNoCredentials reports that a request could not be signed. None was sent.
var ErrNoCredentials = errors.New("no credentials for the bucket")

// credentialsProblem says why a request has no credentials, and what to do; empty: it had some. The SDK has no type for it.
func credentialsProblem(err error) string {
	const marker, noRole = "get credentials: ", "no EC2 IMDS role found"
	_, text, found := strings.Cut(err.Error(), marker)
	switch {
	case !found:
		return ""
	case strings.Contains(text, noRole): // the last place to look in: there are none in the others
		return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile of ~/.aws with --s3-profile or AWS_PROFILE, or run where a role is attached"
	}
	return text
}
