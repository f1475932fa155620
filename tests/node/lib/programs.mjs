// Applications in processes of their own.
import { fork } from 'node:child_process'
import { once } from 'node:events'

const folder = new URL('../programs/', import.meta.url).pathname

/** A process that runs an application, and does what it is told. */
class Application {
  #last = 0
  #waiting = new Map()
  said = ''
  messages = []

  constructor(child) {
    this.child = child
    this.pid = child.pid
    this.ended = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { this.said = (this.said + chunk).slice(-20000) })
    child.on('message', (message) => {
      const waiting = this.#waiting.get(message.number)
      this.#waiting.delete(message.number)
      if (!waiting) this.messages.push(message)
      else if (message.error) waiting.reject(Object.assign(new Error(message.error.message), message.error))
      else waiting.resolve(message.result)
    })
    this.ended.then(() => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the process has ended\n${this.said}`))
    })
  }

  /** Has it do something; see programs/app.mjs. */
  do(action, args = {}) {
    const number = ++this.#last
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject })
      this.child.send({ number, action, ...args }, (error) => error && reject(error))
    })
  }

  call(path, method, ...args) {
    return this.do('call', { path, method, args })
  }

  async stop(signal = 'SIGTERM') {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    this.child.kill(signal)
    const patience = setTimeout(() => this.child.kill('SIGKILL'), 15000)
    const end = await this.ended
    clearTimeout(patience)
    return end
  }
}

/** Starts an application and waits until it is on the mesh. */
export async function application(spec, { program = 'app.mjs', ready = true, env } = {}) {
  const child = fork(folder + program, { env: { ...process.env, ...env, SPEC: JSON.stringify(spec) }, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  const app = new Application(child)
  if (ready) await eventually('the application is ready', () => {
    if (child.exitCode !== null) throw new Error(`it has ended\n${app.said}`)
    return app.messages.some((message) => message.ready)
  })
  return app
}

/** Waits until `condition` holds, which is asked again and again. */
export async function eventually(what, condition, patience = 30000) {
  const deadline = Date.now() + patience
  for (;;) {
    const outcome = await condition()
    if (outcome) return outcome
    if (Date.now() > deadline) throw new Error(`it did not happen that ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
