// Package media is the ground floor of the media plane: the sockets on which a party's RTP and RTCP arrive, the rule
// that decides whose packets count, and the chain along which they go on.
//
// It owns:
//   - Engine: the polling workers, the RTP port range, the one clock of everything that is played, the totals.
//   - Session: one leg's end of the media. It turns what the other party says into what this one gets (Offer, Answer), as
//     its Terms want it: our addresses, keys, codecs. It learns from the party's own descriptions where to send, whom to
//     believe and how to encrypt (RemoteOffer, RemoteAnswer), and can be written down and taken up again on the same ports
//     (State, Engine.Restore).
//   - Stream: one m-line of a session, with a chain "source -> stages -> output" that can be swapped while it runs and
//     print itself. Outputs that live here: the bridge to another stream, which passes, renumbers or converts; echo;
//     decoding to PCM for a Sink. Inputs that live here: PCM from a Source, keys that are pressed.
//   - Ear and Pump: what a party says as a Source, beside the relay or in place of it, and how it is moved to where no
//     stream pulls it.
//
// It does not own: which streams and directions there are (the parties), ciphers, checks and handshakes (srtp, ice, dtls),
// jitter buffers (jitter), mixing, playing from files and recording (mixer, player, recorder, tap), and signalling of any
// kind.
//
// Goroutines: the poller's workers, on which packets are handled from socket to socket without a hand-over, and one
// clock that paces playing and RTCP, and a watcher that looks at every session each two seconds (consent, quality). All
// belong to the Engine and end with its Close. DTLS handshakes have goroutines of their own, which end with the session. A
// Session has none: its methods are called by one goroutine at a time (the leg's), except those that only look (Stats, LastMedia, Held,
// HeardControl, String), which any may call, also after Close. None of them may be called from a handler on a media worker.
//
// Ordering: packets of one party keep the order in which they arrived. Nothing is ordered between the two directions
// or between RTP and RTCP on separate ports.
//
// RFCs: 3264 (offer/answer), 3550 (RTP, RTCP), 3551 (static payload types), 3605 (a=rtcp), 3611 (extended reports), 3711 (SRTP), 4568 (keys in
// descriptions), 4733 (telephone-event), 4961 (symmetric RTP), 5761 (RTP and RTCP on one port), 5763 and 8842 (DTLS-SRTP),
// 7362 (latching), 7675 (consent), 7983 (telling protocols apart), 8643 (opportunistic encryption), 8839 (ICE), 9143
// (bundles).
package media
