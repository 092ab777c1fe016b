#include "broker/dispatcher/workers.h"

#include <algorithm>
#include <utility>

#include "broker/dispatcher/message_body.h"

namespace millrace::broker {
namespace {

struct Beat {
  bool draining = false;
  std::vector<BeatTask> tasks;
};

// Reads the leases that a registering worker says it runs. Progress is optional there.
std::vector<BeatTask> ReadRunning(const Message& message) {
  return ReadBody(message, [](const nlohmann::json& body) {
    std::vector<BeatTask> running;
    for (const nlohmann::json& item : body.at("running")) {
      const auto progress = item.find("progress");
      running.push_back(
          {.name = LeaseNameFromJson(item),
           .progress = progress == item.end() ? Progress() : ProgressFromJson(*progress),
           .media = nullptr});
    }
    return running;
  });
}

Beat ReadBeat(const Message& message) {
  return ReadBody(message, [](const nlohmann::json& body) {
    Beat beat{.draining = body.at("draining").get<bool>(), .tasks = {}};
    for (const nlohmann::json& item : body.at("tasks")) {
      beat.tasks.push_back({.name = LeaseNameFromJson(item),
                            .progress = ProgressFromJson(item.at("progress")),
                            .media = item.value("media", nlohmann::json())});
    }
    return beat;
  });
}

}  // namespace

void Workers::OnMessage(Draft& draft, const std::string& peer, const Message& message,
                        Heard heard) {
  RegisteredWorker* known = state_.workers.FindInstance(peer);
  // Mark it gone first, so that slots freed below are not offered to it.
  if (known != nullptr && heard == Heard::kLate && !known->gone_since) {
    known->gone_since = draft.now().monotonic;
  }
  Handle(draft, peer, known, message);
  if (heard == Heard::kLate) return;
  if (known != nullptr) {
    // Looked up again: a goodbye removes it.
    if (RegisteredWorker* there = state_.workers.FindInstance(peer)) there->gone_since.reset();
  } else if (message.type != message::kRegister && message.type != message::kGoodbye) {
    draft.Send(peer, message::kUnknownWorker, message.id, nlohmann::json::object());
  }
}

void Workers::Handle(Draft& draft, const std::string& peer, RegisteredWorker* known,
                     const Message& message) {
  const std::string& type = message.type;
  if (type == message::kRegister) {
    OnRegister(draft, peer, message);
  } else if (type == message::kGoodbye) {
    OnGoodbye(draft, peer, message);
  } else if (type == message::kFinished) {
    parts_.leases.OnFinished(draft, peer, message);
  } else if (type == message::kFailed) {
    parts_.leases.OnFailed(draft, peer, message);
  } else if (type == message::kReleased) {
    parts_.leases.OnReleased(draft, peer, message);
  } else if (type == message::kStarted) {
    parts_.leases.OnStarted(draft, peer, message);
  } else if (type == message::kBeat) {
    if (known != nullptr) OnBeat(draft, *known, message);
  } else if (type == message::kProbed) {
    if (known != nullptr) parts_.probes.OnProbed(draft, *known, message);
  } else {
    throw Error(ErrorCode::kProtocolError, "not a worker's message: " + type);
  }
}

void Workers::OnRegister(Draft& draft, const std::string& peer, const Message& message) {
  RegisteredWorker said = ParseRegister(peer, message.body);
  std::vector<BeatTask> running = ReadRunning(message);
  const RegisteredWorker* before = state_.workers.FindInstance(peer);
  if (before != nullptr && before->name != said.name) {
    RefuseBody(message, "this instance is known as " + before->name);
  }
  said.registered_at = draft.now().wall;
  said.last_beat = draft.now().monotonic;
  RegisteredWorker& registered = Welcome(draft, std::move(said), running);
  nlohmann::json lost = TakeRunning(draft, registered, std::move(running));
  const DispatcherOptions& options = parts_.options;
  draft.Send(peer, message::kRegistered, message.id,
             {{"lease_seconds", std::chrono::duration<double>(options.lease).count()},
              {"beat_seconds", std::chrono::duration<double>(options.beat).count()},
              {"lost", std::move(lost)}});
  parts_.leases.RepeatAssigns(draft, registered);
  RepeatCancels(draft, registered);
}

RegisteredWorker& Workers::Welcome(Draft& draft, RegisteredWorker said,
                                   const std::vector<BeatTask>& running) {
  if (RegisteredWorker* same = state_.workers.FindInstance(said.instance)) {
    state_.workers.Update(*same, std::move(said));
    return *same;
  }
  if (RegisteredWorker* earlier = state_.workers.FindName(said.name)) {
    HandOver(*earlier, running);
    Forget(draft, *earlier, "lost", "worker " + said.name + " was started anew");
  }
  RegisteredWorker& added = state_.workers.Add(std::move(said));
  added.held_back = !state_.breakers.MayTake(added.name);
  draft.AnnounceWorker(added.name, "registered");
  return added;
}

void Workers::HandOver(RegisteredWorker& earlier, const std::vector<BeatTask>& running) {
  for (TaskEntry* task : std::vector<TaskEntry*>(earlier.leases)) {
    const bool listed = std::ranges::any_of(running, [&](const BeatTask& said) {
      return said.name.task == task->record.id && said.name.fence == task->record.fence;
    });
    if (!listed) continue;
    std::erase(earlier.leases, task);
    task->lease->instance.clear();
  }
}

nlohmann::json Workers::TakeRunning(Draft& draft, RegisteredWorker& worker,
                                    std::vector<BeatTask> running) {
  nlohmann::json lost = nlohmann::json::array();
  for (BeatTask& said : running) {
    if (TaskEntry* task = parts_.leases.FindCurrent(said.name)) {
      parts_.leases.Renew(draft, *task, worker);
      if (said.progress == Progress()) continue;
      parts_.aggregator.ShowProgress(draft, *task, std::move(said.progress));
    } else if (!parts_.leases.IsSettled(said.name)) {
      lost.push_back(ToJson(said.name));
    }
  }
  return lost;
}

void Workers::RepeatCancels(Draft& draft, const RegisteredWorker& worker) {
  for (const TaskEntry* task : worker.leases) {
    if (task->record.state != TaskState::kCancelling) continue;
    draft.Send(worker.instance, message::kCancel, "",
               ToJson(LeaseName{.task = task->record.id, .fence = task->record.fence}));
  }
}

void Workers::OnBeat(Draft& draft, RegisteredWorker& worker, const Message& message) {
  Beat beat = ReadBeat(message);
  worker.last_beat = draft.now().monotonic;
  if (beat.draining && !worker.draining) draft.AnnounceWorker(worker.name, "draining");
  worker.draining = beat.draining;

  nlohmann::json cancel = nlohmann::json::array();
  nlohmann::json lost = nlohmann::json::array();
  for (BeatTask& said : beat.tasks) {
    TaskEntry* task = parts_.leases.FindCurrent(said.name);
    if (task == nullptr) {
      if (!parts_.leases.IsSettled(said.name)) lost.push_back(ToJson(said.name));
      continue;
    }
    parts_.leases.Renew(draft, *task, worker);
    // Kept in memory; the next change of the job takes it to the ledger.
    if (!said.media.is_null()) task->job->job.media = std::move(said.media);
    if (task->record.state == TaskState::kCancelling) {
      cancel.push_back(ToJson(said.name));
    } else {
      parts_.aggregator.ShowProgress(draft, *task, std::move(said.progress));
    }
  }
  draft.Send(worker.instance, message::kOrders, message.id,
             {{"cancel", std::move(cancel)}, {"lost", std::move(lost)}});
  parts_.leases.RepeatAssigns(draft, worker);
}

void Workers::OnGoodbye(Draft& draft, const std::string& peer, const Message& message) {
  if (RegisteredWorker* leaving = state_.workers.FindInstance(peer)) {
    Forget(draft, *leaving, "left", "worker " + leaving->name + " has left");
  }
  draft.Send(peer, message::kAck, message.id, nlohmann::json::object());
}

void Workers::OnConnectionClosed(Draft& draft, const std::string& peer) {
  RegisteredWorker* worker = state_.workers.FindInstance(peer);
  if (worker != nullptr && !worker->gone_since) worker->gone_since = draft.now().monotonic;
}

void Workers::OnTick(Draft& draft) {
  const MonotonicTime now = draft.now().monotonic;
  for (RegisteredWorker* lost : state_.workers.LostBy(now, Patience())) {
    const bool silent = lost->IsLostBy(now, {.silence = parts_.options.lease});
    Forget(draft, *lost, "lost",
           "worker " + lost->name +
               (silent ? " has been silent for its lease"
                       : " has closed its connection and not come back"));
  }
}

void Workers::Forget(Draft& draft, RegisteredWorker& worker, std::string_view event,
                     const std::string& detail) {
  const Error error(ErrorCode::kWorkerLost, detail);
  for (TaskEntry* task : std::vector<TaskEntry*>(worker.leases)) {
    parts_.lifecycle.Lose(draft, *task, error, "lost");
  }
  state_.probes.Return(worker.instance);
  draft.AnnounceWorker(worker.name, event);
  state_.breakers.OnGone(worker.name, draft.now().monotonic);
  state_.workers.Remove(worker);
}

}  // namespace millrace::broker
