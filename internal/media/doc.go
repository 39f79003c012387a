// Package media is the ground floor of the media plane: the sockets on which a party's RTP and RTCP arrive, the rule
// that decides whose packets count, and the chain along which they go on.
//
// It owns:
//   - Engine: the polling workers, the RTP port range, the one clock of everything that is played, the totals.
//   - Session: one leg's end of the media. It puts our addresses into the other party's description (Localize), learns
//     from the party's own description where to send and whom to believe (SetRemote), and can be written down and taken
//     up again on the same ports (State, Engine.Restore).
//   - Stream: one m-line of a session, with a chain "source -> stages -> output" that can be swapped while it runs and
//     print itself. Outputs that live here: relay to another stream, echo, decoding to PCM for a Sink. Inputs that live
//     here: PCM from a Source, telephone-events.
//
// It does not own: offer/answer decisions (package sdp and the call), SRTP, jitter buffers, mixing, transcoding and
// recording (stages and outputs in packages of their own), and signalling of any kind.
//
// Goroutines: the poller's workers, on which packets are handled from socket to socket without a hand-over, and one
// clock that paces playing and RTCP. Both belong to the Engine and end with its Close. A Session has none: its
// methods are called by one goroutine at a time (the leg's), except those that only look (Stats, LastMedia, Held,
// HeardControl, String), which any may call, also after Close. None of them may be called from a handler on a media worker.
//
// Ordering: packets of one party keep the order in which they arrived. Nothing is ordered between the two directions
// or between RTP and RTCP on separate ports.
//
// RFCs: 3550 (RTP, RTCP), 3551 (static payload types), 3264 (offer/answer), 3605 (a=rtcp), 4733 (telephone-event),
// 4961 (symmetric RTP), 5761 (RTP and RTCP on one port), 7362 (latching), 7983 (telling protocols apart).
package media
