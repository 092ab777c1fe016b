#include <algorithm>
#include <utility>

#include "broker/dispatcher/impl.h"

// What workers say about the leases they hold. The fence decides, not who says it: a worker that
// the broker has forgotten may still deliver.

namespace millrace::broker {
namespace {

LeaseName ReadName(const Message& message) {
  try {
    return {.task = message.body.at("task"), .fence = message.body.at("fence")};
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::kProtocolError, message.type + ": " + error.what());
  }
}

nlohmann::json NameJson(const LeaseName& name) {
  return {{"task", name.task}, {"fence", name.fence}};
}

const nlohmann::json& Member(const Message& message, const char* key) {
  const auto found = message.body.find(key);
  if (found != message.body.end()) return *found;
  throw Error(ErrorCode::kProtocolError, message.type + ": has no " + key);
}

// The failure as the ledger keeps it; throws Error{kProtocolError} unless it is one.
nlohmann::json ReadFailure(const Message& message) {
  const nlohmann::json& failure = Member(message, "failure");
  AttemptFailureFromJson(failure);
  return failure;
}

}  // namespace

TaskEntry* Dispatcher::Impl::FindCurrent(const LeaseName& name) const {
  TaskEntry* task = jobs_.FindTask(name.task);
  if (task == nullptr || !task->lease || task->record.fence != name.fence) return nullptr;
  return task;
}

std::string Dispatcher::Impl::OutcomeOf(const LeaseName& name) const {
  if (const TaskEntry* task = jobs_.FindTask(name.task)) {
    const Attempt* attempt = FindAttempt(*task->job, name.fence);
    return attempt == nullptr ? "" : attempt->outcome;
  }
  return settled_.OutcomeOf(name.task, name.fence);
}

bool Dispatcher::Impl::IsSettled(const LeaseName& name) const {
  const std::string outcome = OutcomeOf(name);
  return !outcome.empty() && outcome != "lost";
}

void Dispatcher::Impl::AnswerSettled(Draft& draft, const std::string& peer, const Message& message,
                                     const LeaseName& name, std::string_view outcome) {
  // A cancelled attempt may have ended in any way.
  const std::string before = OutcomeOf(name);
  const bool repeated = before == outcome || before == "cancelled";
  draft.Send(peer, repeated ? message::kAck : message::kLeaseLost, message.id, NameJson(name));
}

void Dispatcher::Impl::OnStarted(Draft& draft, const std::string& peer, const Message& message) {
  const LeaseName name = ReadName(message);
  if (TaskEntry* task = FindCurrent(name)) {
    task->lease->acknowledged = true;
  } else if (!IsSettled(name)) {
    draft.Send(peer, message::kLeaseLost, message.id, NameJson(name));
  }
}

void Dispatcher::Impl::OnFinished(Draft& draft, const std::string& peer, const Message& message) {
  const LeaseName name = ReadName(message);
  const nlohmann::json& manifest = Member(message, "manifest");
  Manifest parsed = ManifestFromJson(manifest);
  TaskEntry* task = FindCurrent(name);
  if (task == nullptr) {
    AnswerSettled(draft, peer, message, name, "succeeded");
    return;
  }
  if (task->record.state == TaskState::kCancelling) {
    StopTask(draft, *task, "cancelled");
  } else {
    FinishTask(draft, *task, manifest, std::move(parsed));
  }
  draft.Send(peer, message::kAck, message.id, NameJson(name));
}

void Dispatcher::Impl::OnFailed(Draft& draft, const std::string& peer, const Message& message) {
  const LeaseName name = ReadName(message);
  nlohmann::json failure = ReadFailure(message);
  TaskEntry* task = FindCurrent(name);
  if (task == nullptr) {
    AnswerSettled(draft, peer, message, name, "failed");
    return;
  }
  const auto media = message.body.find("media");
  if (media != message.body.end() && !media->is_null()) task->job->job.media = *media;
  if (task->record.state == TaskState::kCancelling) {
    StopTask(draft, *task, "cancelled");
  } else {
    FailTask(draft, *task, std::move(failure), "failed");
  }
  draft.Send(peer, message::kAck, message.id, NameJson(name));
}

void Dispatcher::Impl::OnReleased(Draft& draft, const std::string& peer, const Message& message) {
  const LeaseName name = ReadName(message);
  const bool draining = Member(message, "reason") == "draining";
  TaskEntry* task = FindCurrent(name);
  if (task == nullptr) {
    AnswerSettled(draft, peer, message, name, "released");
    return;
  }
  // It would be given the task again otherwise.
  RegisteredWorker* known = workers_.FindInstance(peer);
  if (draining && known != nullptr) {
    if (!known->draining) AnnounceWorker(draft, known->name, "draining");
    known->draining = true;
  }
  if (task->record.state == TaskState::kCancelling) {
    StopTask(draft, *task, "cancelled");
  } else {
    LoseTask(draft, *task,
             Error(ErrorCode::kWorkerDraining,
                   "worker " + task->record.last_worker + " handed the task back"),
             "released");
  }
  draft.Send(peer, message::kAck, message.id, NameJson(name));
}

}  // namespace millrace::broker
