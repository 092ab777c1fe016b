#include <algorithm>
#include <utility>

#include "broker/dispatcher/impl.h"
#include "core/base/id.h"

// What clients ask for, beside new jobs (dispatcher_admission.cc) and dead ones
// (dispatcher_letters.cc).

namespace millrace::broker {
namespace {

std::chrono::milliseconds UnixMillis(WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch());
}

std::string JobIdOf(const Message& message) {
  return ReadBody(message,
                  [](const nlohmann::json& body) { return body.at("job_id").get<std::string>(); });
}

std::chrono::milliseconds DeadlineOf(const Message& message) {
  return ReadBody(message, [](const nlohmann::json& body) {
    return std::chrono::milliseconds(body.at("deadline_unix_ms").get<int64_t>());
  });
}

}  // namespace

Outcome Dispatcher::Impl::OnClient(const std::string& route, const Message& message, Now now) {
  Draft draft(now, jobs_, last_sequence_);
  if (message.type == message::kSubmit) {
    OnSubmit(draft, route, message);
  } else if (message.type == message::kCancel) {
    OnCancel(draft, route, message);
  } else if (message.type == message::kProbe) {
    OnProbe(draft, route, message);
  } else {
    throw Error(ErrorCode::kProtocolError, "not a client's message: " + message.type);
  }
  return draft.Finish();
}

void Dispatcher::Impl::OnCancel(Draft& draft, const std::string& route, const Message& message) {
  JobEntry* entry = jobs_.Find(JobIdOf(message));
  if (entry == nullptr) {
    Refuse(draft, route, message, Error(ErrorCode::kJobNotFound, "there is no such job"));
    return;
  }
  if (entry->job.state == JobState::kPublishing) {
    Refuse(draft, route, message,
           Error(ErrorCode::kJobFinished, "the job is done and its outputs are being published"));
    return;
  }
  if (std::ranges::any_of(entry->tasks, [](const TaskEntry& task) {
        return task.record.state == TaskState::kFailed;
      })) {
    Refuse(draft, route, message,
           Error(ErrorCode::kJobFinished, "the job has failed and its report is being written"));
    return;
  }
  if (entry->job.state != JobState::kCancelling) CancelJob(draft, *entry);
  ReplyJob(draft, route, message, *entry);
}

void Dispatcher::Impl::OnProbe(Draft& draft, const std::string& route, const Message& message) {
  const auto left = DeadlineOf(message) - UnixMillis(draft.now().wall);
  PendingProbe probe = ReadBody(message, [&](const nlohmann::json& body) {
    return PendingProbe{.id = NewId("prb_"),
                        .route = route,
                        .request_id = message.id,
                        .input = body.at("input"),
                        .input_name = body.at("input_name"),
                        .deadline = draft.now().monotonic + left,
                        .instance = ""};
  });
  if (left.count() <= 0) {
    Refuse(draft, route, message,
           Error(ErrorCode::kDeadlineExceeded, "the probe came after its deadline"));
  } else if (probes_.full()) {
    Refuse(draft, route, message, Error(ErrorCode::kQueueFull, "too many probes are waiting"));
  } else {
    probes_.Add(std::move(probe));
    FillProbeSlots(draft);
  }
}

void Dispatcher::Impl::FillProbeSlots(Draft& draft) {
  if (probes_.FirstWaiting() == nullptr) return;
  if (!workers_.TakesProbes()) {
    for (const PendingProbe& probe : probes_.TakeWaiting()) {
      EndProbe(draft, probe, Error(ErrorCode::kNoWorker, "no worker is there to probe the input"));
    }
    return;
  }
  while (PendingProbe* probe = probes_.FirstWaiting()) {
    RegisteredWorker* chosen = workers_.PickForProbe();
    if (chosen == nullptr) return;
    probes_.Start(*probe, chosen->instance);
    ++chosen->probes;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(probe->deadline -
                                                                            draft.now().monotonic);
    draft.Send(chosen->instance, message::kProbe, probe->id,
               {{"probe", probe->id},
                {"input", probe->input},
                {"input_name", probe->input_name},
                {"deadline_ms", left.count()}});
  }
}

void Dispatcher::Impl::EndProbe(Draft& draft, const PendingProbe& probe, const Error& error) {
  draft.Reply(probe.route, ErrorReply(probe.request_id, error));
}

void Dispatcher::Impl::Refuse(Draft& draft, const std::string& route, const Message& message,
                              const Error& error) {
  draft.Reply(route, ErrorReply(message.id, error));
}

void Dispatcher::Impl::ReplyJob(Draft& draft, const std::string& route, const Message& message,
                                const JobEntry& entry) {
  nlohmann::json body = nlohmann::json::object();
  body["job"] = JobView(entry.job, LiveOf(entry));
  draft.Reply(route,
              {.type = std::string(message::kOk), .id = message.id, .body = std::move(body)});
}

}  // namespace millrace::broker
