// Roles to choose from, each with what it is for.

import { useTranslation } from '../i18n';
import { MEMBER_ROLES, type MemberRole } from '../ui/may';
import classes from './Access.module.css';

interface RolesProps {
  label: string;
  chosen: MemberRole[];
  onChange: (roles: MemberRole[]) => void;
}

export function RolesChoice({ label, chosen, onChange }: RolesProps) {
  const { t } = useTranslation();
  return (
    <fieldset className={classes.fieldset}>
      <legend>{label}</legend>
      <div className={classes.roles}>
        {MEMBER_ROLES.map((role) => (
          <label key={role} className={classes.role}>
            <input
              type="checkbox"
              checked={chosen.includes(role)}
              onChange={(event) =>
                onChange(
                  // In the order of the table, however they were ticked.
                  MEMBER_ROLES.filter((one) =>
                    one === role ? event.currentTarget.checked : chosen.includes(one),
                  ),
                )
              }
            />
            <span>
              {t(`roles.${role}`)}
              <small>{t(`roles_text.${role}`)}</small>
            </span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
