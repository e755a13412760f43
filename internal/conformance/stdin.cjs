// Ends the process with its standard input, so that no mock outlives the test
// that started it, even if the test is killed.
process.stdin.on("end", () => process.exit(0)).resume();
