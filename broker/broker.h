#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/dispatcher/dispatcher.h"
#include "broker/effect_runner.h"
#include "broker/io/file_thread.h"
#include "broker/io/peer_book.h"
#include "broker/io/progress_log.h"
#include "broker/io/sockets.h"
#include "broker/ledger/ledger.h"
#include "broker/upkeep/janitor.h"
#include "broker/upkeep/media_inventory.h"
#include "core/base/clock.h"
#include "core/media/media_store.h"
#include "core/model/messages/client.h"

namespace millrace::broker {

struct BrokerOptions {
  std::filesystem::path data_dir;  // the media store's; `run` in it is the broker's own
  Endpoints endpoints;
  DispatcherOptions dispatcher;
  JanitorOptions janitor;
  // Messages taken from each socket before the decisions are committed.
  size_t batch_limit = 512;
  // Time between two attempts to write a ledger that could not be written.
  std::chrono::milliseconds ledger_retry{1'000};
};

// The broker: receives what has arrived, has the dispatcher decide, commits all decisions in one
// transaction, and only then replies, sends, moves files and answers reads. Everything runs on the
// thread that calls Run(), except that a thread of its own copies, lists and removes files.
// broker_clients.cc has the part that concerns clients.
//
// A failed commit suspends the broker. The dispatcher's memory is ahead of the ledger then, so the
// dispatcher is made anew from the ledger, like after a restart. While suspended, the broker
// refuses requests that would change something with the reason, answers reads from the ledger,
// answers beats with "go on" (no lease ends while nobody could take it over), and leaves other
// reports to the workers to repeat. When the ledger can be written again, the dispatcher is made
// once more, workers register again, and every lease has a grace period.
class Broker {
 public:
  // Binds the sockets and takes over what the ledger holds. Throws Error. `clock` outlives it.
  Broker(BrokerOptions options, std::unique_ptr<Ledger> ledger, std::unique_ptr<MediaStore> media,
         const Clock& clock);
  ~Broker();

  // Serves until `stop_fd` is readable, then takes what has arrived once more, refusing new jobs,
  // and returns. Leases stay as they are: workers go on and come back to the next broker. Throws
  // Error if the ledger cannot even be read.
  void Run(int stop_fd);

 private:
  struct Read {
    std::string peer;
    Message request;
  };

  // The decisions of one round, not committed yet.
  struct Batch {
    std::vector<LedgerChange> changes;
    std::vector<Effect> effects;
    std::vector<Read> reads;
    std::set<std::string> inserted;       // ids of the jobs that `changes` creates
    std::set<std::string> inserted_keys;  // their idempotency keys, without the empty one

    void Add(Outcome outcome);
    bool empty() const { return changes.empty() && effects.empty() && reads.empty(); }
  };

  struct Suspension {
    Error cause;
    MonotonicTime next_try;
  };

  Now ReadClock() const;
  std::optional<std::chrono::milliseconds> TimeUntilDue() const;
  void Step(const Arrivals& arrivals);
  // Handles one message and answers its errors. Returns false if the dispatcher's state is in
  // doubt.
  bool Take(const Received& received, Batch& batch);
  void TakeClient(const Received& received, Batch& batch);
  struct Change;
  static const Change kChanges[];
  void TakeSubmit(const ReplyTo& to, Message message, Batch& batch);
  void TakeCancel(const ReplyTo& to, Message message, Batch& batch);
  void TakeProbe(const ReplyTo& to, Message message, Batch& batch);
  // Takes a redrive or a purge: of jobs that only the ledger has.
  template <typename Request>
  void TakeAboutDead(const ReplyTo& to, Message message, Batch& batch);
  // Returns the job, ended since, that an earlier submission of the same id or key has made.
  // Commits the batch if the job's end may be in it.
  std::optional<EndedJob> FindEnded(const message::Submit& submit, Batch& batch);
  void TakeWorker(const Received& received, Batch& batch);
  // Takes note of connections of workers that have closed.
  void TakeClosed(const std::vector<std::string>& peers, Batch& batch);
  void Refuse(const Received& received, const Error& error);

  // Commits a batch, carries out its effects, and goes on with the batch that follows from their
  // results until nothing follows.
  void Settle(Batch batch);
  // Commits a batch and sends its messages. Returns the instances of the workers that could not be
  // reached; nullopt: the broker is suspended instead.
  std::optional<std::vector<std::string>> CommitAndSend(const Batch& batch);
  // Carries out the rest of a committed batch. Returns what follows from that.
  Batch CarryOut(const Batch& batch, const std::vector<std::string>& broken);
  void AnswerReads(std::vector<Read> reads);
  // Remembers the percentages that are about to be shown.
  void NoteProgress(const std::vector<Effect>& effects);
  // Hands the dispatcher the jobs that it asked for. Empty if the broker is suspended instead.
  Outcome Load(const LoadDead& load);
  void Tidy();
  // Tells the dispatcher how much room the disk has, once a second at most.
  void LookAtDisk();
  void ForgetAnswered(const std::vector<Effect>& effects);
  void Suspend(const Error& cause);
  void TryToResume();
  void MakeDispatcher();
  std::optional<std::string> RefusalOfSubmissions() const;

  const BrokerOptions options_;
  const Clock& clock_;
  const std::unique_ptr<Ledger> ledger_;
  const std::unique_ptr<MediaStore> media_;
  const MediaInventory inventory_;
  Sockets sockets_;
  PeerBook peers_;
  ProgressLog progress_;
  std::unique_ptr<FileThread> files_;
  EffectRunner effects_;
  Janitor janitor_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::optional<MonotonicTime> disk_looked_at_;
  // Client requests that the dispatcher has taken and not answered yet: connection, message id.
  std::set<std::pair<std::string, std::string>> owed_;
  std::optional<Suspension> suspension_;
  bool draining_ = false;
};

}  // namespace millrace::broker
