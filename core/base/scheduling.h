#pragma once

namespace millrace {

// Asks the kernel to run the calling thread soon after it wakes, in exchange for shorter turns.
// A service wakes often and works for microseconds; with usual turns each of its wake-ups may wait
// for the end of an encoder's turn, up to one tick (4 ms), and news of a task passes seven threads
// before a client hears it. Threads and children started later inherit the turns.
// Has no effect before Linux 6.12, under another policy than SCHED_OTHER, or where it is forbidden.
void AskForShortTurns();

// Gives the calling thread the kernel's default turns again. Used by tasks, which compute.
void AskForUsualTurns();

}  // namespace millrace
