// Package proxymatrix sends webhooks through real proxies to siglake listen, with the configurations that
// siglake examples webhooks prints. It is a module of its own because the tests need nginx and Caddy (Debian's
// packages nginx-light and caddy).
package proxymatrix
