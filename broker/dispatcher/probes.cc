#include "broker/dispatcher/probes.h"

#include <chrono>
#include <string>
#include <utility>

#include "core/base/id.h"
#include "core/model/messages/client_replies.h"
#include "core/model/messages/worker_orders.h"

namespace millrace::broker {

using std::chrono::milliseconds;

void Probes::OnProbe(Draft& draft, const ReplyTo& to, message::Probe asked) {
  const auto now = std::chrono::duration_cast<milliseconds>(draft.now().wall.time_since_epoch());
  const milliseconds left = milliseconds(asked.deadline_unix_ms) - now;
  if (left.count() <= 0) {
    draft.Refuse(to, Error(ErrorCode::kDeadlineExceeded, "the probe came after its deadline"));
  } else if (state_.probes.full()) {
    draft.Refuse(to, Error(ErrorCode::kQueueFull, "too many probes are waiting"));
  } else {
    state_.probes.Add({.id = NewId("prb_"),
                       .client = to,
                       .input = std::move(asked.input),
                       .input_name = std::move(asked.input_name),
                       .deadline = draft.now().monotonic + left,
                       .instance = ""});
  }
}

void Probes::FillSlots(Draft& draft) {
  if (state_.probes.FirstWaiting() == nullptr) return;
  if (!state_.workers.TakesProbes()) {
    for (const PendingProbe& probe : state_.probes.TakeWaiting()) {
      draft.Refuse(probe.client,
                   Error(ErrorCode::kNoWorker, "no worker is there to probe the input"));
    }
    return;
  }
  while (PendingProbe* probe = state_.probes.FirstWaiting()) {
    RegisteredWorker* chosen = state_.workers.PickForProbe();
    if (chosen == nullptr) return;
    state_.probes.Start(*probe, chosen->instance);
    ++chosen->probes;
    const auto left =
        std::chrono::duration_cast<milliseconds>(probe->deadline - draft.now().monotonic);
    draft.Send(chosen->instance,
               message::ProbeOrder{.probe = probe->id,
                                   .input = probe->input,
                                   .input_name = probe->input_name,
                                   .deadline_ms = left.count()},
               probe->id);
  }
}

void Probes::OnProbed(Draft& draft, RegisteredWorker& worker, message::Probed said) {
  if (said.media.is_null() && said.error.is_null()) {
    throw Error(ErrorCode::kProtocolError, "probed: has neither media nor error");
  }
  PendingProbe* probe = state_.probes.Find(said.probe);
  // It came too late, or another worker has the probe now and will answer.
  if (probe == nullptr || probe->instance != worker.instance) return;
  --worker.probes;
  if (!said.error.is_null()) {
    draft.Refuse(probe->client, ErrorFromJson(said.error));
  } else {
    draft.Reply(probe->client, message::ProbeReply{.media = std::move(said.media)});
  }
  state_.probes.Remove(said.probe);
}

void Probes::OnTick(Draft& draft) {
  for (const PendingProbe& probe : state_.probes.TakeExpired(draft.now().monotonic)) {
    if (RegisteredWorker* worker = state_.workers.FindInstance(probe.instance)) --worker->probes;
    draft.Refuse(probe.client,
                 Error(ErrorCode::kDeadlineExceeded, "the probe was not answered in time"));
  }
}

}  // namespace millrace::broker
