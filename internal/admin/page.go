package admin

// Page is a part of a list.
type Page[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next" doc:"Give it as cursor to get the next part; empty at the end"`
}
