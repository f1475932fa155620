// Processes that a benchmark starts and ends.
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { readFileSync } from 'node:fs'

const running = new Set()

// Starts a program; its lines of JSON are waited for by `figure`.
export function start (command, args, { env = {}, cwd, quiet = true } = {}) {
  const child = spawn(command, args, {
    cwd, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', quiet ? 'ignore' : 'inherit']
  })
  running.add(child)
  const lines = []
  const waiting = []
  let rest = ''
  let ended = false
  const settle = () => {
    while (waiting.length && (lines.length || ended)) waiting.shift()(lines.length ? lines.shift() : undefined)
  }
  child.stdout.on('data', data => {
    const parts = (rest + data).split('\n')
    rest = parts.pop()
    lines.push(...parts)
    settle()
  })
  const end = new Promise(resolve => child.on('close', code => { ended = true; running.delete(child); settle(); resolve(code) }))
  child.on('error', error => { console.error(`${command}: ${error.message}`) })
  const line = () => new Promise(resolve => { waiting.push(resolve); settle() })
  return {
    pid: child.pid,
    end,
    line,
    // The next line that is a JSON object; undefined when the program has ended.
    async figure () {
      for (;;) {
        const text = await line()
        if (text === undefined) return undefined
        if (text.startsWith('{')) return JSON.parse(text)
      }
    },
    async figures () {
      const all = []
      for (let one = await this.figure(); one; one = await this.figure()) all.push(one)
      return all
    },
    tell (text) { child.stdin.write(text) },
    async stop (signal = 'SIGTERM') {
      child.kill(signal)
      const late = setTimeout(() => child.kill('SIGKILL'), 15000)
      await end
      clearTimeout(late)
    }
  }
}

export function endAll () {
  for (const child of running) child.kill('SIGKILL')
}

export const freePort = () => new Promise((resolve, reject) => {
  const server = createServer()
  server.on('error', reject)
  server.listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => resolve(port)) })
})

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

// A Redis without persistence.
export async function redis () {
  const port = await freePort()
  const server = start('redis-server', ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', '/tmp'].map(String))
  for (;;) {
    const line = await server.line()
    if (line === undefined) throw new Error('redis-server did not start')
    if (line.includes('Ready to accept')) break
  }
  return { ...server, port, url: `redis://127.0.0.1:${port}` }
}

// What a process has used: CPU in ms, resident memory in KiB.
export function usage (pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return { cpu: (Number(stat[11]) + Number(stat[12])) * 10, memory: Number(/VmRSS:\s+(\d+)/.exec(status)[1]) }
}
