// The project whose pages are open, and the title of the page in the browser's tab.
import { createContext, useContext, useEffect } from 'react';
import type { Project } from '../api/types';
import { type Format, useFormat } from '../i18n/format';

const ProjectContext = createContext<Project | null>(null);
export const ProjectProvider = ProjectContext.Provider;

export function useProject(): Project {
  const project = useContext(ProjectContext);
  if (!project) throw new Error('this component belongs under a project page');
  return project;
}

/** Formats in the project's time zone. */
export function useProjectFormat(): Format {
  return useFormat(useProject().time_zone);
}

export function usePageTitle(title: string, project?: string): void {
  useEffect(() => {
    document.title = [title, project, 'Cofferdam'].filter(Boolean).join(' · ');
  }, [title, project]);
}
