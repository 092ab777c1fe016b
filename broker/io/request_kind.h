#pragma once

#include <string_view>

namespace millrace::broker {

// How the broker deals with a client's message. All that is known of a type stands here: what is
// asked again, or asks only what would be done, is found out by the broker itself.
enum class RequestKind {
  kRead,     // changes nothing: answered after the commit of its round
  kJob,      // decided by the dispatcher over what it has in memory: submit, cancel, probe
  kRedrive,  // decided by the dispatcher over dead jobs that are read from the ledger first
  kPurge,    // the same
};

// Throws Error{kProtocolError} for a type that no client message has.
RequestKind KindOf(std::string_view type);

}  // namespace millrace::broker
