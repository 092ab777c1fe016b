#include "broker/dispatcher/probes.h"

#include <chrono>
#include <string>
#include <utility>

#include "broker/dispatcher/message_body.h"
#include "core/base/id.h"

namespace millrace::broker {
namespace {

using std::chrono::milliseconds;

milliseconds TimeLeft(const Message& message, WallTime now) {
  const auto deadline = ReadBody(message, [](const nlohmann::json& body) {
    return milliseconds(body.at("deadline_unix_ms").get<int64_t>());
  });
  return deadline - std::chrono::duration_cast<milliseconds>(now.time_since_epoch());
}

}  // namespace

void Probes::OnProbe(Draft& draft, const ReplyTo& to, const Message& message) {
  const milliseconds left = TimeLeft(message, draft.now().wall);
  PendingProbe probe = ReadBody(message, [&](const nlohmann::json& body) {
    return PendingProbe{.id = NewId("prb_"),
                        .client = to,
                        .input = body.at("input"),
                        .input_name = body.at("input_name"),
                        .deadline = draft.now().monotonic + left,
                        .instance = ""};
  });
  if (left.count() <= 0) {
    draft.Refuse(to, Error(ErrorCode::kDeadlineExceeded, "the probe came after its deadline"));
  } else if (state_.probes.full()) {
    draft.Refuse(to, Error(ErrorCode::kQueueFull, "too many probes are waiting"));
  } else {
    state_.probes.Add(std::move(probe));
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
    draft.Send(chosen->instance, message::kProbe, probe->id,
               {{"probe", probe->id},
                {"input", probe->input},
                {"input_name", probe->input_name},
                {"deadline_ms", left.count()}});
  }
}

void Probes::OnProbed(Draft& draft, RegisteredWorker& worker, const Message& message) {
  const nlohmann::json& body = message.body;
  if (!body.contains("probe") || !body["probe"].is_string()) RefuseBody(message, "has no probe");
  if (!body.contains("media") && !body.contains("error")) {
    RefuseBody(message, "has neither media nor error");
  }
  PendingProbe* probe = state_.probes.Find(body["probe"]);
  // It came too late, or another worker has the probe now and will answer.
  if (probe == nullptr || probe->instance != worker.instance) return;
  --worker.probes;
  if (body.contains("error")) {
    draft.Refuse(probe->client, ErrorFromJson(body["error"]));
  } else {
    draft.Reply(probe->client, {{"media", body["media"]}});
  }
  state_.probes.Remove(std::string(probe->id));
}

void Probes::OnTick(Draft& draft) {
  for (const PendingProbe& probe : state_.probes.TakeExpired(draft.now().monotonic)) {
    if (RegisteredWorker* worker = state_.workers.FindInstance(probe.instance)) --worker->probes;
    draft.Refuse(probe.client,
                 Error(ErrorCode::kDeadlineExceeded, "the probe was not answered in time"));
  }
}

}  // namespace millrace::broker
