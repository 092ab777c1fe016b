#pragma once

#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "broker/dispatcher/outcome.h"
#include "broker/io/file_thread.h"
#include "broker/io/peer_book.h"
#include "broker/io/sockets.h"
#include "broker/upkeep/media_inventory.h"
#include "core/media/media_store.h"

namespace millrace::broker {

// Does what committed outcomes ask for, and says how it went. Owned by the broker's loop, which
// calls Send() first, so that no reply waits for files to be moved, and Store() afterwards. The
// file thread does what may take long: it writes dead letters, for which an input may have to be
// copied, and removes them and work folders.
class EffectRunner {
 public:
  // All must outlive it. Nothing may be left on `files` that it has posted when it is destroyed.
  EffectRunner(Sockets& sockets, PeerBook& peers, MediaStore& media,
               const MediaInventory& inventory, FileThread& files)
      : sockets_(sockets), peers_(peers), media_(media), inventory_(inventory), files_(files) {}

  // Sends replies, orders, events and warnings, in order. Returns the instances of workers whose
  // connection turned out to be broken.
  std::vector<std::string> Send(const std::vector<Effect>& effects);

  // Publishes, in order, and returns the results; begins to bury, to discard and to remove dead
  // letters. Leaves out the effects that are sent.
  std::vector<EffectResult> Store(const std::vector<Effect>& effects);

  // Returns the results of the burials that have ended since the last call.
  std::vector<EffectResult> TakeBuried();
  bool HasBuried() const { return !buried_.empty(); }

 private:
  bool SendToInstance(const SendToWorker& send);
  EffectResult Publish(const PublishOutputs& publish);
  void BeginBurial(const Bury& bury);
  void EndBurial(const std::string& job_id, const std::optional<Error>& error);
  void BeginDiscard(const DiscardWork& discard);
  void BeginRemoval(const RemoveDeadLetter& removal);

  Sockets& sockets_;
  PeerBook& peers_;
  MediaStore& media_;
  const MediaInventory& inventory_;
  FileThread& files_;
  // Jobs whose burial was begun and not reported yet. A dispatcher that is made anew asks for them
  // again: this prevents a second burial from starting after the first has deleted the logs.
  std::unordered_set<std::string> burying_;
  std::vector<EffectResult> buried_;
};

}  // namespace millrace::broker
