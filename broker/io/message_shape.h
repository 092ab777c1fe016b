#pragma once

#include "core/model/message.h"

namespace millrace::broker {

// Check that a message has the type, and its body the fields, that docs/protocol.md gives it, so
// that nothing behind has to. They throw Error{kProtocolError} naming the type and the field. What
// lies inside of JSON objects of core (a request, a manifest, progress) is left to their readers.
void CheckClientMessage(const Message& message);
void CheckWorkerMessage(const Message& message);

}  // namespace millrace::broker
