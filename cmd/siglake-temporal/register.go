package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"

	"github.com/siglake/siglake/internal/format"
)

func registerCommand() *cli.Command {
	c := defaultConnection()
	return &cli.Command{
		Name:        "register",
		Usage:       "add the search attributes of nights to a namespace",
		Description: "Once for each namespace, by a user who may change it. In Temporal Cloud add them in its console or by tcld.",
		Flags:       connectionFlags(&c),
		Action: func(ctx *cli.Context) error {
			if err := noArguments(ctx); err != nil {
				return err
			}
			return registerAttributes(ctx.Context, &c, ctx.App.Writer, ctx.App.ErrWriter)
		},
	}
}

// attributeTypes are the types of the search attributes.
var attributeTypes = map[string]enums.IndexedValueType{
	listAttribute.GetName():    listAttribute.GetValueType(),
	creditsAttribute.GetName(): creditsAttribute.GetValueType(),
	outcomeAttribute.GetName(): outcomeAttribute.GetValueType(),
}

func registerAttributes(ctx context.Context, c *connection, stdout, stderr io.Writer) error {
	server, err := c.dial(quietLog(stderr))
	if err != nil {
		return err
	}
	defer server.Close()
	there, err := server.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: c.namespace})
	if err != nil {
		return fmt.Errorf("the search attributes of namespace %s cannot be listed: %w", c.namespace, err)
	}
	missing := map[string]enums.IndexedValueType{}
	for name, kind := range attributeTypes {
		switch has, found := there.GetCustomAttributes()[name]; {
		case !found:
			missing[name] = kind
		case has != kind:
			return fmt.Errorf("namespace %s has the search attribute %s with type %s, and nights need %s; start nights with --search-attributes=false", c.namespace, name, has, kind)
		}
	}
	if len(missing) > 0 {
		_, err = server.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: c.namespace, SearchAttributes: missing})
		var exists *serviceerror.AlreadyExists
		if err != nil && !errors.As(err, &exists) {
			return fmt.Errorf("the search attributes cannot be added to namespace %s: %w", c.namespace, err)
		}
	}
	format.Fprintf(stdout, "namespace %s has the search attributes SiglakeList, SiglakeCredits and SiglakeOutcome\n", c.namespace)
	return nil
}
