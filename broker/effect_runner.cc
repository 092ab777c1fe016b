#include "broker/effect_runner.h"

#include <filesystem>
#include <memory>
#include <utility>
#include <variant>

#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/model/messages/body.h"

namespace millrace::broker {
namespace {

// Runs a file operation and returns the error that it throws, be it the store's own or one of the
// file system library.
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
      std::visit(
          [this](const auto& event) { sockets_.Publish(event.kType, message::ToJson(event)); },
          announce->event);
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

std::vector<EffectResult> EffectRunner::Store(const std::vector<Effect>& effects) {
  std::vector<EffectResult> results;
  for (const Effect& effect : effects) {
    if (const auto* publish = std::get_if<PublishOutputs>(&effect)) {
      results.push_back(Publish(*publish));
    } else if (const auto* bury = std::get_if<Bury>(&effect)) {
      BeginBurial(*bury);
    } else if (const auto* discard = std::get_if<DiscardWork>(&effect)) {
      BeginDiscard(*discard);
    } else if (const auto* removal = std::get_if<RemoveDeadLetter>(&effect)) {
      BeginRemoval(*removal);
    }
  }
  return results;
}

EffectResult EffectRunner::Publish(const PublishOutputs& publish) {
  const Fence fence = PublishedFence(publish.made);
  std::vector<std::string> lost;
  std::optional<Error> error = ErrorOf([&] {
    Failpoint("broker.before_publish");
    lost = media_.Publish(publish.job_id, publish.made);
    Failpoint("broker.during_publish");
  });
  if (!error && !lost.empty()) {
    error = Error(ErrorCode::kOutputNotFound, "the files that the worker reported are gone");
  }
  if (!error) return Published{.job_id = publish.job_id, .fence = fence};
  LogError("outputs not published",
           {{"job", publish.job_id}, {"fence", fence}, {"lost", lost}, {"error", ToJson(*error)}});
  return PublishFailed{.job_id = publish.job_id,
                       .fence = fence,
                       .error = *std::move(error),
                       .lost = std::move(lost)};
}

void EffectRunner::BeginBurial(const Bury& bury) {
  const std::string& job_id = bury.letter.job_id;
  if (!burying_.insert(job_id).second) return;
  // Written by the file thread, read by the loop's once that is done.
  const auto error = std::make_shared<std::optional<Error>>();
  files_.Post(
      [this, error, letter = bury.letter](const std::stop_token& stop) mutable {
        letter.abandon = stop;
        *error = ErrorOf([&] {
          Failpoint("broker.before_dead_letter");
          media_.WriteDeadLetter(letter);
          Failpoint("broker.after_dead_letter");
        });
      },
      [this, error, job_id] { EndBurial(job_id, *error); });
}

void EffectRunner::EndBurial(const std::string& job_id, const std::optional<Error>& error) {
  if (error) {
    LogError("dead letter not written", {{"job", job_id}, {"error", ToJson(*error)}});
    buried_.emplace_back(BuryFailed{.job_id = job_id});
  } else {
    LogWarning("job is dead",
               {{"job", job_id}, {"folder", media_.DeadLetterFolder(job_id).string()}});
    buried_.emplace_back(Buried{.job_id = job_id});
  }
}

std::vector<EffectResult> EffectRunner::TakeBuried() {
  std::vector<EffectResult> taken = std::exchange(buried_, {});
  for (const EffectResult& result : taken) {
    if (const auto* buried = std::get_if<Buried>(&result)) burying_.erase(buried->job_id);
    if (const auto* failed = std::get_if<BuryFailed>(&result)) burying_.erase(failed->job_id);
  }
  return taken;
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
