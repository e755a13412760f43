// Ends the process with its standard input, so that no mock outlives the test
// that started it, not even one that is killed.
process.stdin.on("end", () => process.exit(0)).resume();
