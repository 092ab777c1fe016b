#pragma once

// The parts of Pistache that the server uses. It defines a macro REQUIRES of its own, which must
// not replace the one of core/base/mutex.h in our headers.
#pragma push_macro("REQUIRES")
#undef REQUIRES
#include <pistache/listener.h>
#include <pistache/net.h>
#include <pistache/peer.h>
#include <pistache/tcp.h>
#include <pistache/transport.h>
#pragma pop_macro("REQUIRES")
