#pragma once

#include "core/model/message.h"

namespace millrace::broker {

// Check that a message has a type that clients, or workers, may send, and that its body has the
// fields which core/model/messages declares. They throw Error{kProtocolError} naming the type and
// the field. The JSON objects of core within (a request, a manifest) are left to their readers.
void CheckClientMessage(const Message& message);
void CheckWorkerMessage(const Message& message);

// Returns the process that a worker's message is from. REQUIRES: CheckWorkerMessage() let it pass.
std::string InstanceOf(const Message& message);

}  // namespace millrace::broker
