// Package call is one telephone call: its legs, the goroutine that runs its service, the facts for its record, and the
// registry of all calls that are live.
//
// It owns:
//   - Call: one goroutine with one bounded Mailbox. A service (Service) is a plain blocking function on that goroutine;
//     it reads events with Next and acts on legs. Dial (forking) and Bridge (media, re-INVITE, hold) are the two that
//     every call needs.
//   - Leg, Dialer, LegRestorer: what the call needs of the protocols. It knows no SIP; SIP, H.323 and others implement
//     them.
//   - Record and Notice: the facts, told to an Observer as they happen.
//   - Registry: the live calls; Snapshot and Restore of a connected call.
//
// It does not own: where a call goes (dialplan), which service runs (exchange), what is allowed (admission), media
// packets (media), dialogs (the legs).
//
// Goroutines: one per call, started by Registry.Start and Restore; Registry.Drain ends them and waits. A panic in a
// service ends its call only and is counted. No goroutine per leg or timer.
//
// Ordering: events reach the call in the order in which they were posted to its mailbox; those of one leg are posted in
// the order of the wire. A mailbox that is full ends its call.
//
// RFC 3261 §9.2, §14, §16.7 (cancel races, re-INVITE, choosing the best response), RFC 3264 and RFC 6337 (offers that
// come late), RFC 3725 (third-party call control), RFC 3960 (early media).
package call
