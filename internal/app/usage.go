package app

import (
	"context"
	"errors"

	"github.com/siglake/siglake/internal/lusha"
)

// FetchUsage asks what the account has used and what it has left.
func FetchUsage(ctx context.Context, env *Env, o APIOptions, open func(context.Context) (Endpoint, error)) (*lusha.Usage, error) {
	api, err := connectAPI(ctx, env, o, open)
	if err != nil {
		return nil, err
	}
	defer api.disconnect()
	u, err := api.client.FetchUsage(ctx)
	if err != nil {
		var refusal *lusha.RefusalError
		if errors.As(err, &refusal) && refusal.Class == lusha.ClassRateBurst {
			return nil, &Error{KindDeferred, errors.New("the API allows five usage requests a minute, and siglake or others have used them up: try again in a minute")}
		}
		return nil, askError(ctx, err)
	}
	return u, nil
}
