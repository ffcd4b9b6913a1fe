/* Small enough to be cut at every place. */
int main(void) { return 0; }
