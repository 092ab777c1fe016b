#include <algorithm>
#include <utility>

#include "broker/dispatcher/impl.h"

// What workers say about themselves; dispatcher_leases.cc has what they say about their leases.

namespace millrace::broker {
namespace {

struct Beat {
  bool draining = false;
  std::vector<BeatTask> tasks;
};

[[noreturn]] void RefuseBody(const Message& message, const std::string& why) {
  throw Error(ErrorCode::kProtocolError, message.type + ": " + why);
}

nlohmann::json NameJson(const LeaseName& name) {
  return {{"task", name.task}, {"fence", name.fence}};
}

// What a worker says that it runs; `progress` is the nothing that it is by default if it was not
// sent.
std::vector<BeatTask> ReadRunning(const Message& message) {
  try {
    std::vector<BeatTask> running;
    for (const nlohmann::json& item : message.body.at("running")) {
      const auto progress = item.find("progress");
      running.push_back(
          {.name = {.task = item.at("task"), .fence = item.at("fence")},
           .progress = progress == item.end() ? Progress() : ProgressFromJson(*progress),
           .media = nullptr});
    }
    return running;
  } catch (const nlohmann::json::exception& error) {
    RefuseBody(message, error.what());
  }
}

Beat ReadBeat(const Message& message) {
  try {
    Beat beat;
    message.body.at("draining").get_to(beat.draining);
    for (const nlohmann::json& item : message.body.at("tasks")) {
      beat.tasks.push_back({.name = {.task = item.at("task"), .fence = item.at("fence")},
                            .progress = ProgressFromJson(item.at("progress")),
                            .media = item.value("media", nlohmann::json())});
    }
    return beat;
  } catch (const nlohmann::json::exception& error) {
    RefuseBody(message, error.what());
  }
}

}  // namespace

Outcome Dispatcher::Impl::OnWorker(const std::string& peer, const Message& message, Now now,
                                   Heard heard) {
  Draft draft(now, jobs_, last_sequence_);
  RegisteredWorker* known = workers_.FindInstance(peer);
  // First, so that what ends now makes no room on it.
  if (known != nullptr && heard == Heard::kLate && !known->gone_since) {
    known->gone_since = now.monotonic;
  }
  const std::string& type = message.type;
  if (type == message::kRegister) {
    OnRegister(draft, peer, message);
  } else if (type == message::kGoodbye) {
    OnGoodbye(draft, peer, message);
  } else if (type == message::kFinished) {
    OnFinished(draft, peer, message);
  } else if (type == message::kFailed) {
    OnFailed(draft, peer, message);
  } else if (type == message::kReleased) {
    OnReleased(draft, peer, message);
  } else if (type == message::kStarted) {
    OnStarted(draft, peer, message);
  } else if (type == message::kBeat) {
    if (known != nullptr) OnBeat(draft, *known, message);
  } else if (type == message::kProbed) {
    if (known != nullptr) OnProbed(draft, *known, message);
  } else {
    throw Error(ErrorCode::kProtocolError, "not a worker's message: " + type);
  }
  if (heard == Heard::kLate) return Conclude(draft);
  if (known != nullptr) {
    // Whoever is heard can be reached; after a goodbye there is nobody.
    if (RegisteredWorker* there = workers_.FindInstance(peer)) there->gone_since.reset();
  } else if (type != message::kRegister && type != message::kGoodbye) {
    draft.Send(peer, message::kUnknownWorker, message.id, nlohmann::json::object());
  }
  return Conclude(draft);
}

void Dispatcher::Impl::OnRegister(Draft& draft, const std::string& peer, const Message& message) {
  RegisteredWorker said = ParseRegister(peer, message.body);
  std::vector<BeatTask> running = ReadRunning(message);
  const RegisteredWorker* before = workers_.FindInstance(peer);
  if (before != nullptr && before->name != said.name) {
    RefuseBody(message, "this instance is known as " + before->name);
  }
  said.registered_at = draft.now().wall;
  said.last_beat = draft.now().monotonic;
  RegisteredWorker& registered = Welcome(draft, std::move(said), running);

  nlohmann::json lost = nlohmann::json::array();
  for (BeatTask& said : running) {
    if (TaskEntry* task = FindCurrent(said.name)) {
      Adopt(draft, *task, registered);
      if (said.progress != Progress()) ShowProgress(draft, *task, std::move(said.progress));
    } else if (!IsSettled(said.name)) {
      lost.push_back(NameJson(said.name));
    }
  }
  draft.Send(peer, message::kRegistered, message.id,
             {{"lease_seconds", std::chrono::duration<double>(options_.lease).count()},
              {"beat_seconds", std::chrono::duration<double>(options_.beat).count()},
              {"lost", std::move(lost)}});
  RepeatAssigns(draft, registered);
  for (const TaskEntry* task : registered.leases) {
    if (task->record.state != TaskState::kCancelling) continue;
    draft.Send(peer, message::kCancel, "",
               NameJson({.task = task->record.id, .fence = task->record.fence}));
  }
}

RegisteredWorker& Dispatcher::Impl::Welcome(Draft& draft, RegisteredWorker said,
                                            const std::vector<BeatTask>& running) {
  if (RegisteredWorker* same = workers_.FindInstance(said.instance)) {
    workers_.Update(*same, std::move(said));
    return *same;
  }
  if (RegisteredWorker* earlier = workers_.FindName(said.name)) {
    // What the new process lists stays as it is, unclaimed until it is adopted.
    for (TaskEntry* task : std::vector<TaskEntry*>(earlier->leases)) {
      const bool listed = std::ranges::any_of(running, [&](const BeatTask& said) {
        return said.name.task == task->record.id && said.name.fence == task->record.fence;
      });
      if (!listed) continue;
      std::erase(earlier->leases, task);
      task->lease->instance.clear();
    }
    Forget(draft, *earlier, "lost", "worker " + said.name + " was started anew");
  }
  RegisteredWorker& added = workers_.Add(std::move(said));
  added.held_back = !breakers_.MayTake(added.name);
  AnnounceWorker(draft, added.name, "registered");
  return added;
}

void Dispatcher::Impl::Adopt(Draft& draft, TaskEntry& task, RegisteredWorker& worker) {
  if (task.lease->instance != worker.instance) {
    if (RegisteredWorker* holder = workers_.FindInstance(task.lease->instance)) {
      std::erase(holder->leases, &task);
    }
    task.lease->instance = worker.instance;
    worker.leases.push_back(&task);
  }
  task.lease->acknowledged = true;
  jobs_.SetDeadline(task, draft.now().monotonic + options_.lease);
}

void Dispatcher::Impl::OnBeat(Draft& draft, RegisteredWorker& worker, const Message& message) {
  Beat beat = ReadBeat(message);
  worker.last_beat = draft.now().monotonic;
  if (beat.draining && !worker.draining) AnnounceWorker(draft, worker.name, "draining");
  worker.draining = beat.draining;

  nlohmann::json cancel = nlohmann::json::array();
  nlohmann::json lost = nlohmann::json::array();
  for (BeatTask& said : beat.tasks) {
    TaskEntry* task = FindCurrent(said.name);
    if (task == nullptr) {
      if (!IsSettled(said.name)) lost.push_back(NameJson(said.name));
      continue;
    }
    Adopt(draft, *task, worker);
    // Kept in memory; the next change of the job takes it to the ledger.
    if (!said.media.is_null()) task->job->job.media = std::move(said.media);
    if (task->record.state == TaskState::kCancelling) {
      cancel.push_back(NameJson(said.name));
    } else {
      ShowProgress(draft, *task, std::move(said.progress));
    }
  }
  draft.Send(worker.instance, message::kOrders, message.id,
             {{"cancel", std::move(cancel)}, {"lost", std::move(lost)}});
  RepeatAssigns(draft, worker);
}

void Dispatcher::Impl::ShowProgress(Draft& draft, TaskEntry& task, Progress progress) {
  Progress& shown = task.job->progress;
  // A second attempt begins at 0 again; what clients see waits for it.
  progress.percent = std::max(shown.percent, std::min(progress.percent, 99));
  for (auto& [name, percent] : progress.outputs) {
    for (const auto& [shown_name, shown_percent] : shown.outputs) {
      if (shown_name == name) percent = std::max(percent, shown_percent);
    }
  }
  const bool changed = progress.percent != shown.percent || progress.phase != shown.phase;
  shown = std::move(progress);
  if (!changed) return;
  draft.Announce(topic::kProgress, {{"job", task.job->job.id},
                                    {"generation", task.job->job.generation},
                                    {"percent", shown.percent},
                                    {"phase", shown.phase}});
}

void Dispatcher::Impl::SendAssign(Draft& draft, const TaskEntry& task) {
  const Job& job = task.job->job;
  nlohmann::json body = {{"task", task.record.id},
                         {"job", job.id},
                         {"fence", task.record.fence},
                         {"attempt", task.record.attempts_spent + 1},
                         {"input", ToJson(job.request.input)}};
  body["input_name"] = job.input_facts.is_object() ? job.input_facts.value("name", "") : "";
  body["spec"] = ToJson(job.request.spec);
  draft.Send(task.lease->instance, message::kAssign, "", std::move(body));
}

void Dispatcher::Impl::RepeatAssigns(Draft& draft, const RegisteredWorker& worker) {
  for (const TaskEntry* task : worker.leases) {
    if (!task->lease->acknowledged && task->record.state == TaskState::kLeased) {
      SendAssign(draft, *task);
    }
  }
}

void Dispatcher::Impl::OnProbed(Draft& draft, RegisteredWorker& worker, const Message& message) {
  const nlohmann::json& body = message.body;
  if (!body.contains("probe") || !body["probe"].is_string()) {
    RefuseBody(message, "has no probe");
  }
  if (!body.contains("media") && !body.contains("error")) {
    RefuseBody(message, "has neither media nor error");
  }
  PendingProbe* probe = probes_.Find(body["probe"]);
  // Too late, or another worker has it now: that one will answer.
  if (probe == nullptr || probe->instance != worker.instance) return;
  --worker.probes;
  if (body.contains("error")) {
    EndProbe(draft, *probe, ErrorFromJson(body["error"]));
  } else {
    draft.Reply(probe->route, {.type = std::string(message::kOk),
                               .id = probe->request_id,
                               .body = {{"media", body["media"]}}});
  }
  probes_.Remove(std::string(probe->id));
}

void Dispatcher::Impl::OnGoodbye(Draft& draft, const std::string& peer, const Message& message) {
  if (RegisteredWorker* leaving = workers_.FindInstance(peer)) {
    Forget(draft, *leaving, "left", "worker " + leaving->name + " has left");
  }
  draft.Send(peer, message::kAck, message.id, nlohmann::json::object());
}

void Dispatcher::Impl::Forget(Draft& draft, RegisteredWorker& worker, std::string_view event,
                              const std::string& detail) {
  const Error error(ErrorCode::kWorkerLost, detail);
  for (TaskEntry* task : std::vector<TaskEntry*>(worker.leases)) {
    LoseTask(draft, *task, error, "lost");
  }
  probes_.Return(worker.instance);
  AnnounceWorker(draft, worker.name, event);
  breakers_.OnGone(worker.name, draft.now().monotonic);
  workers_.Remove(worker);
}

void Dispatcher::Impl::AnnounceWorker(Draft& draft, const std::string& name,
                                      std::string_view event) {
  draft.Announce(topic::kWorker,
                 {{"worker", name}, {"event", event}, {"at", FormatTime(draft.now().wall)}});
}

}  // namespace millrace::broker
