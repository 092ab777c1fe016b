#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "broker/ledger/records.h"
#include "core/base/clock.h"
#include "core/media/media_store.h"
#include "core/model/job.h"
#include "core/model/message.h"
#include "core/model/messages/events.h"
#include "core/model/task.h"

namespace millrace::broker {

// The time at which the dispatcher is asked to decide.
struct Now {
  MonotonicTime monotonic;
  WallTime wall;
};

// A job that has ended, as the ledger has it.
struct EndedJob {
  Job job;
  int last_attempt = 0;  // its number, in the job's generation; 0: none was made
};

// A job that has ended, with its newest dead letter.
struct DeadJob {
  Job job;
  std::vector<TaskRecord> tasks;
  DeadLetterRecord letter;
  int last_attempt = 0;  // its number, in the job's generation; 0: none was made
};

// The message that a reply answers.
struct ReplyTo {
  std::string route;  // the loop's own name for the client; of a worker, its instance id
  std::string request_id;
};

// Effects: done by the loop after the changes have been committed, in order.
struct SendToWorker {
  std::string instance;
  Message message;
};
struct ReplyToClient {
  std::string route;  // the loop's own name for the client, given with its request
  Message message;
};
// Leads to Published or PublishFailed.
struct PublishOutputs {
  std::string job_id;
  std::vector<TaskOutputs> made;  // under PublishedFence(made)
};
// Writes the folder; leads to Buried or BuryFailed.
struct Bury {
  DeadLetter letter;
};
struct DiscardWork {
  std::string task_id;
  Fence fence = 0;
};
// Removes the dead-letter folder of a job whose letter has left the queue for good.
struct RemoveDeadLetter {
  std::string job_id;
};
// The loop reads these jobs from the ledger and answers with OnDeadLoaded; jobs that are gone are
// left out.
struct LoadDead {
  std::string redrive_id;
  std::vector<std::string> job_ids;
};
// Goes out on the PUB socket.
using Event = std::variant<message::JobEvent, message::ProgressEvent, message::DeadLetterEvent,
                           message::WorkerEvent>;
struct Announce {
  Event event;
};
// Goes into the log, as a warning.
struct Warn {
  std::string text;
  nlohmann::json fields;
};
using Effect = std::variant<SendToWorker, ReplyToClient, PublishOutputs, Bury, DiscardWork,
                            RemoveDeadLetter, LoadDead, Announce, Warn>;

// Results of effects, which the loop reports to the dispatcher.
struct Published {
  std::string job_id;
  Fence fence = 0;
};
// The files of the tasks `lost` are gone, or storage failed; `error` says which.
struct PublishFailed {
  std::string job_id;
  Fence fence = 0;
  Error error;
  std::vector<std::string> lost;
};
struct Buried {
  std::string job_id;
};
struct BuryFailed {
  std::string job_id;
};
using EffectResult = std::variant<Published, PublishFailed, Buried, BuryFailed>;

// The dispatcher's answer to one thing that happened. Changes are committed first, all together.
struct Outcome {
  std::vector<LedgerChange> changes;
  std::vector<Effect> effects;
};

}  // namespace millrace::broker
