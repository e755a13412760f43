package pipeline

// UnitPrice is what an action costs: Credits for every started PerQuantity. A number that the
// account does not state is -1.
type UnitPrice struct {
	Credits     int64 `json:"credits"`
	PerQuantity int64 `json:"per_quantity"`
}

// Tariff is what an account pays.
type Tariff struct {
	// Maximum credits of one event; 0, unknown, counts as 1.
	Price int64 `json:"price,omitempty"`
	// As the account stated them, by the names in the vendor's price list.
	Prices map[string]UnitPrice `json:"prices,omitempty"`
}

// MaxEventPrice is the maximum cost of one event in credits.
func (t *Tariff) MaxEventPrice() int64 { return max(t.Price, 1) }
