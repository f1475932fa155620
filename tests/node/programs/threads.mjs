// An application in a worker thread, which is terminated when the parent says so.
import { Worker } from 'node:worker_threads'

const worker = new Worker(new URL('thread.mjs', import.meta.url))
worker.on('message', (message) => process.send(message))
process.on('message', () => worker.terminate())
