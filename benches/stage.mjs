// Where one measurement takes place: the processes it starts, which all end with it.
import { spawn } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'

// A process that has not ended by then is killed.
const GRACE = 15000
// A process that says nothing for so long, on neither output, will not say anything.
const PATIENCE = 120000

const everything = new Set()
process.on('exit', () => everything.forEach(child => child.kill('SIGKILL')))

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

// Runs `act` on a stage of its own, and clears it whatever comes of it.
export async function staged (act) {
  const stage = new Stage()
  try {
    return await act(stage)
  } finally {
    await stage.clear()
  }
}

class Stage {
  #running = []

  // Starts a program.
  start (command, args = [], options = {}) {
    const running = new Running(command, args.map(String), options)
    this.#running.push(running)
    return running
  }

  // Starts a program and waits for its first figure, which says that it is ready.
  async ready (command, args, options) {
    const running = this.start(command, args, options)
    return Object.assign(running, { said: await running.figure() })
  }

  // Runs a program to its end and returns what it printed.
  async output (command, args, options) {
    const running = this.start(command, args, options)
    const lines = []
    for (let line = await running.line(); line !== undefined; line = await running.line()) lines.push(line)
    await running.ended(0)
    return lines.join('\n')
  }

  // Runs a program to its end and returns its figures, of which there is one at least.
  async figures (command, args, options) {
    const lines = (await this.output(command, args, options)).split('\n')
    const figures = lines.filter(line => line.startsWith('{')).map(line => JSON.parse(line))
    if (figures.length === 0) throw new Error(`${command} printed no figure`)
    return figures
  }

  // Starts a Redis that keeps nothing on disk.
  async redis () {
    const port = await freePort()
    const options = ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', tmpdir()]
    const server = this.start('redis-server', options)
    while (!(await server.needed()).includes('Ready to accept')) { /* it says other things first */ }
    const address = `127.0.0.1:${port}`
    return { address, url: `redis://${address}`, info: () => info(port), commands: ms => commands(port, ms) }
  }

  // Ends everything, the last one first: servers go after clients.
  async clear () {
    while (this.#running.length > 0) await this.#running.pop().stop()
  }
}

class Running {
  #child
  #name
  #end
  #lines = []
  #waiting = []
  #errors = ''
  #over = false
  #heard = 0

  // With `talk`, what it says on stderr is passed on: it takes long, and a person waits.
  constructor (command, args, { cwd, env, talk = false } = {}) {
    this.#name = [command.split('/').pop(), ...args].join(' ')
    this.#child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
    everything.add(this.#child)
    // Told to a process that has ended meanwhile; its end says the rest.
    this.#child.stdin.on('error', () => {})
    this.#child.stderr.on('data', data => {
      this.#errors = (this.#errors + data).slice(-2000)
      this.#heard = performance.now()
      if (talk) process.stderr.write(data)
    })
    this.#end = new Promise(resolve => {
      this.#child.on('error', error => { this.#errors += error.message; resolve(undefined) })
      this.#child.on('close', resolve)
    }).then(code => {
      everything.delete(this.#child)
      this.#over = true
      this.#waiting.splice(0).forEach(waiting => waiting(undefined))
      return code
    })
    let rest = ''
    this.#child.stdout.on('data', data => {
      const lines = (rest + data).split('\n')
      rest = lines.pop()
      lines.forEach(line => this.#hear(line))
    })
  }

  get pid () { return this.#child.pid }

  get errors () { return this.#errors }

  get #lastError () {
    const lines = this.#errors.trim().split('\n')
    return lines.find(line => /error/i.test(line)) ?? lines.pop()
  }

  #hear (line) {
    const waiting = this.#waiting.shift()
    if (waiting) waiting(line)
    else this.#lines.push(line)
  }

  // The next line of its output; undefined when it has ended.
  line () {
    if (this.#over || this.#lines.length > 0) return Promise.resolve(this.#lines.shift())
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  // The next line, from a program that is meant to say one.
  async needed () {
    const begun = performance.now()
    let timer
    const late = new Promise((resolve, reject) => {
      timer = setInterval(() => {
        if (performance.now() - Math.max(begun, this.#heard) > PATIENCE) reject(new Error(`${this.#name} says nothing`))
      }, 1000)
      timer.unref()
    })
    const line = await Promise.race([this.line(), late]).finally(() => clearInterval(timer))
    if (line === undefined) throw new Error(`${this.#name} ended: ${this.#lastError}`)
    return line
  }

  // The next line that is a figure.
  async figure () {
    for (;;) {
      const line = await this.needed()
      if (line.startsWith('{')) return JSON.parse(line)
    }
  }

  // Waits until it says that on stderr.
  async complaint (text) {
    for (let waited = 0; !this.#errors.includes(text); waited += 20) {
      if (this.#over || waited > PATIENCE) throw new Error(`${this.#name} did not say: ${text}`)
      await sleep(20)
    }
  }

  // Waits for its end, which is meant to be that one.
  async ended (code) {
    const was = await this.#end
    if (was !== code) throw new Error(`${this.#name} failed: ${this.#lastError}`)
  }

  tell (text) { this.#child.stdin.write(text) }

  async stop () {
    this.#child.kill('SIGTERM')
    const late = setTimeout(() => this.#child.kill('SIGKILL'), GRACE)
    await this.#end
    clearTimeout(late)
  }

  // What it has used: CPU in ms; memory now and at most, in MiB.
  usage () {
    const folder = `/proc/${this.pid}`
    // Of each thread, in ns; what /proc tells of the process as a whole is in steps of 10 ms.
    const cpu = readdirSync(`${folder}/task`).reduce((sum, thread) => sum + cpuOf(`${folder}/task/${thread}`), 0)
    const status = readFileSync(`${folder}/status`, 'utf8')
    const mib = name => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)[1]) / 1024
    return { cpu, memory: mib('VmRSS'), peak: mib('VmHWM') }
  }
}

// CPU of one thread in ms; none when it has ended since it was listed.
function cpuOf (folder) {
  try {
    return Number(readFileSync(`${folder}/schedstat`, 'utf8').split(' ')[0]) / 1e6
  } catch {
    return 0
  }
}

// A port of the loopback interface that is free now.
export function freePort () {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

// What Redis says of itself: numbers by name.
function info (port) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.end('INFO all\r\n'))
    let text = ''
    socket.on('error', reject).on('data', data => { text += data })
    socket.on('end', () => {
      // Of each command, by `cmdstat_` and its name, how often it was called.
      const fields = text.matchAll(/^(\w+):(?:calls=)?([\d.]+)(?:,usec=.*)?\r$/gm)
      resolve(Object.fromEntries(Array.from(fields, ([, name, value]) => [name, Number(value)])))
    })
  })
}

// How many commands clients send to Redis within some time; those that scripts run are none of them.
async function commands (port, ms) {
  const socket = connect(port, '127.0.0.1', () => socket.write('MONITOR\r\n'))
  let count = 0
  let rest = ''
  socket.on('data', data => {
    const lines = (rest + data).split('\r\n')
    rest = lines.pop()
    count += lines.filter(line => /^\+[\d.]+ \[\d+ (?!lua)/.test(line)).length
  })
  const broken = new Promise((resolve, reject) => socket.on('error', reject))
  await Promise.race([sleep(ms), broken])
  socket.destroy()
  return count
}
