#pragma once

#include "broker/dispatcher/draft.h"
#include "broker/dispatcher/state.h"
#include "core/model/messages/client.h"
#include "core/model/messages/worker.h"

namespace millrace::broker {

// Has workers look into files for clients that wait to hear what is in them. Owned by the
// dispatcher.
class Probes {
 public:
  explicit Probes(DispatcherState& state) : state_(state) {}

  void OnProbe(Draft& draft, const ReplyTo& to, message::Probe asked);
  void OnProbed(Draft& draft, RegisteredWorker& worker, message::Probed said);
  // Gives waiting probes to free probe slots; refuses them if no worker takes probes.
  void FillSlots(Draft& draft);
  // Refuses the probes whose deadline has passed.
  void OnTick(Draft& draft);

 private:
  DispatcherState& state_;
};

}  // namespace millrace::broker
