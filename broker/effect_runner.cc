#include "broker/effect_runner.h"

#include <filesystem>
#include <memory>

#include "core/base/failpoint.h"
#include "core/base/log.h"

namespace millrace::broker {
namespace {

// What a file operation threw, as an Error: the store throws its own, the file system library the
// other kind.
template <typename Operation>
std::optional<Error> ErrorOf(Operation operation) {
  try {
    operation();
    return std::nullopt;
  } catch (const Error& error) {
    return error;
  } catch (const std::filesystem::filesystem_error& error) {
    const bool full = error.code() == std::errc::no_space_on_device;
    return Error(full ? ErrorCode::kStorageFull : ErrorCode::kStorageError, error.what());
  } catch (const std::exception& error) {
    return Error(ErrorCode::kStorageError, error.what());
  }
}

}  // namespace

std::vector<std::string> EffectRunner::Send(const std::vector<Effect>& effects) {
  std::vector<std::string> broken;
  for (const Effect& effect : effects) {
    if (const auto* send = std::get_if<SendToWorker>(&effect)) {
      if (!SendToInstance(*send)) broken.push_back(send->instance);
    } else if (const auto* reply = std::get_if<ReplyToClient>(&effect)) {
      if (sockets_.Send(Door::kClient, reply->route, reply->message) != SendResult::kSent) {
        LogDebug("reply dropped, its client is gone", {{"type", reply->message.type}});
      }
    } else if (const auto* announce = std::get_if<Announce>(&effect)) {
      sockets_.Publish(announce->topic, announce->body);
    } else if (const auto* warn = std::get_if<Warn>(&effect)) {
      LogWarning(warn->text, warn->fields);
    }
  }
  return broken;
}

bool EffectRunner::SendToInstance(const SendToWorker& send) {
  const std::string* peer = peers_.Find(send.instance);
  const SendResult result = peer == nullptr ? SendResult::kUnreachable
                                            : sockets_.Send(Door::kWorker, *peer, send.message);
  if (result == SendResult::kSent) return true;
  LogWarning("message to a worker dropped",
             {{"instance", send.instance},
              {"type", send.message.type},
              {"reason", result == SendResult::kFull ? "it does not read" : "not connected"},
              {"dropped_so_far", sockets_.dropped()}});
  return result == SendResult::kFull;
}

void EffectRunner::Store(const std::vector<Effect>& effects, Dispatcher& dispatcher,
                         const std::function<Now()>& now, const Report& report) {
  for (const Effect& effect : effects) {
    if (const auto* publish = std::get_if<PublishOutputs>(&effect)) {
      report(Publish(*publish, dispatcher, now));
    } else if (const auto* bury = std::get_if<Bury>(&effect)) {
      BeginBurial(*bury);
    } else if (const auto* discard = std::get_if<DiscardWork>(&effect)) {
      BeginDiscard(*discard);
    } else if (const auto* removal = std::get_if<RemoveDeadLetter>(&effect)) {
      BeginRemoval(*removal);
    }
  }
}

Outcome EffectRunner::Publish(const PublishOutputs& publish, Dispatcher& dispatcher,
                              const std::function<Now()>& now) {
  bool there = false;
  std::optional<Error> error = ErrorOf([&] {
    Failpoint("broker.before_publish");
    there = media_.Publish(publish.task_id, publish.job_id, publish.fence, publish.manifest);
    Failpoint("broker.during_publish");
  });
  if (!error && !there) {
    error = Error(ErrorCode::kOutputNotFound, "the files that the worker reported are gone");
  }
  if (!error) return dispatcher.OnPublished(publish.task_id, publish.fence, now());
  LogError("outputs not published", {{"job", publish.job_id},
                                     {"task", publish.task_id},
                                     {"fence", publish.fence},
                                     {"error", ToJson(*error)}});
  return dispatcher.OnPublishFailed(publish.task_id, publish.fence, *error, now());
}

void EffectRunner::BeginBurial(const Bury& bury) {
  if (!burying_.insert(bury.letter.job_id).second) return;
  const auto burial = std::make_shared<Burial>(Burial{bury.letter.job_id, std::nullopt});
  files_.Post(
      [this, burial, letter = bury.letter](const std::stop_token& stop) mutable {
        letter.abandon = stop;
        burial->error = ErrorOf([&] {
          Failpoint("broker.before_dead_letter");
          media_.WriteDeadLetter(letter);
          Failpoint("broker.after_dead_letter");
        });
      },
      [this, burial] { buried_.push_back(std::move(*burial)); });
}

void EffectRunner::TakeBuried(Dispatcher& dispatcher, const std::function<Now()>& now,
                              const Report& report) {
  for (const Burial& burial : std::exchange(buried_, {})) {
    const std::string& job = burial.job_id;
    burying_.erase(job);
    if (burial.error) {
      LogError("dead letter not written", {{"job", job}, {"error", ToJson(*burial.error)}});
      report(dispatcher.OnBuryFailed(job, now()));
    } else {
      LogWarning("job is dead", {{"job", job}, {"folder", media_.DeadLetterFolder(job).string()}});
      report(dispatcher.OnBuried(job, now()));
    }
  }
}

void EffectRunner::BeginDiscard(const DiscardWork& discard) {
  files_.Post(
      [this, discard](const std::stop_token&) {
        const std::optional<Error> error =
            ErrorOf([&] { media_.DiscardWork(discard.task_id, discard.fence); });
        if (!error) return;
        LogWarning(
            "work folder not removed",
            {{"task", discard.task_id}, {"fence", discard.fence}, {"error", ToJson(*error)}});
      },
      {});
}

void EffectRunner::BeginRemoval(const RemoveDeadLetter& removal) {
  files_.Post(
      [this, job = removal.job_id](const std::stop_token&) {
        const std::optional<Error> error = ErrorOf([&] { inventory_.RemoveDeadLetter(job); });
        if (!error) return;
        LogWarning("dead-letter folder not removed", {{"job", job}, {"error", ToJson(*error)}});
      },
      {});
}

}  // namespace millrace::broker
